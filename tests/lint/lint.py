#!/usr/bin/env python3
"""make lint: what the compiler doesn't check. Every check prints one line; what it found stands below. Exit 1 on any finding.

`lint.py NAME …` runs only those checks. $WEIR_BUILD names the build folder (for the checks of built objects).
"""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("WEIR_BUILD", "build")

# Who may include whose headers: a plugin sees the SDK and its own folder, core sees the SDK and core.
FOLDERS = {"core": ["core"], "lua": ["lua"]}
LIBRARIES_OF_CORE = re.compile(r"^(event2/|jansson|curl/|openssl/|yaml)")
OWN_LIBRARIES = {"lua": re.compile(r"^(lua|lauxlib|lualib|yaml)")}

# Core's levels, lowest first; a file includes headers of its own level or of a lower one. What is not named is a finding.
LEVELS_FILE = os.path.join(ROOT, "tests/lint/levels.txt")
FILE_LINES = 600
LINE_COLUMNS = 140

FORBIDDEN = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|alloca|system)\s*\(")
CLOCKS = re.compile(r"(?<![\w.>])(time|clock_gettime|gettimeofday|rand|srand|random|getrandom|arc4random)\s*\(")
ABSOLUTE = re.compile(r"/(work|root)/")


def files(*patterns):
    found = []
    for pattern in patterns:
        found += glob.glob(pattern, recursive=True)
    return sorted(f for f in found if os.path.isfile(f) and not f.startswith("build") and "node_modules" not in f)


def c_files():
    return files("core/*.[ch]", "lua/*.[ch]", "plugins/**/*.[ch]", "providers/**/*.[ch]", "sdk/**/*.[ch]", "tests/**/*.[ch]")


def text_of(path):
    with open(path, errors="replace") as f:
        return f.read()


def code_of(path):
    """The text without comments and without what stands in quotes, lines kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text_of(path), flags=re.S)


def owner_of(path):
    parts = path.split("/")
    return parts[0] if parts[0] in FOLDERS else "/".join(parts[:2])


def includes_of(path):
    for number, line in enumerate(text_of(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def check_includes():
    """core, lua, plugins and providers include <weir/…> and their own folder, never each other"""
    found = []
    for path in files("core/*.[ch]", "lua/*.[ch]", "plugins/*/*.[ch]", "providers/*/*.[ch]"):
        owner = owner_of(path)
        for number, is_quoted, name in includes_of(path):
            where = f"{path}:{number}: includes {name}"
            target = os.path.normpath(os.path.join(os.path.dirname(path), name))
            if is_quoted and not (os.path.exists(target) and target.startswith(owner + "/")):
                found.append(where + ", which is not in its own folder")
            foreign = LIBRARIES_OF_CORE.match(name)
            own = OWN_LIBRARIES.get(owner)
            if not is_quoted and owner != "core" and foreign and not (own and own.match(name)):
                found.append(where + ": a library of core's")
            if not is_quoted and owner == "core" and name.startswith("lua"):
                found.append(where + ": Lua belongs to the Lua stage")
    for path in files("sdk/include/weir/*.h"):
        for number, is_quoted, name in includes_of(path):
            if is_quoted and not os.path.exists(os.path.join("sdk/include/weir", name)):
                found.append(f"{path}:{number}: includes {name}, which is not in the SDK")
    return found


def read_levels():
    levels = {}
    for number, line in enumerate(text_of(LEVELS_FILE).splitlines()):
        if not line.startswith("#"):
            levels.update({name: number for name in line.split()})
    return levels


def level_of(levels, name):
    stem = re.sub(r"\.[ch]$", "", os.path.basename(name))
    best = [p for p in levels if stem == p or (p.endswith("*") and stem.startswith(p[:-1]))]
    return levels[max(best, key=len)] if best else None


def check_levels():
    """inside core, levels only look down (tests/lint/levels.txt)"""
    if not os.path.exists(LEVELS_FILE):
        return []
    levels, found = read_levels(), []
    for path in files("core/*.[ch]"):
        own = level_of(levels, path)
        if own is None:
            found.append(f"{path}: stands in no level of tests/lint/levels.txt")
            continue
        for number, is_quoted, name in includes_of(path):
            other = level_of(levels, name) if is_quoted else None
            if other is not None and other > own:
                found.append(f"{path}:{number}: includes {name}, which is a level above it")
    return found


def check_names():
    """core names no plugin"""
    generic = {"auth", "log", "cache"}  # words that core has for itself
    plugins = {os.path.basename(d) for d in glob.glob("providers/*") + glob.glob("plugins/*")} | {"policy"}
    found = []
    for path in files("core/*.[ch]"):
        for number, line in enumerate(text_of(path).splitlines(), 1):
            code = re.sub(r"/\*.*?(\*/|$)|^\s*\*.*", "", line)
            for name in plugins - generic:
                if f'"{name}"' in code and not re.search(r"\{ \"%s\", ('.'|0), " % name, code):  # a command's option
                    found.append(f"{path}:{number}: names the plugin {name}")
    return found


def check_calls():
    """no unbounded string functions, no alloca, no system; plugins read no clock and no chance of their own"""
    found = []
    for path in c_files():
        is_plugin = re.match(r"(plugins|providers|lua)/[^/]*(/[^/]*)?\.[ch]$", path) is not None
        for number, line in enumerate(code_of(path).splitlines(), 1):
            for pattern, why in [(FORBIDDEN, "is not used here")] + ([(CLOCKS, "is the host's to call")] if is_plugin else []):
                match = pattern.search(line)
                if match:
                    found.append(f"{path}:{number}: {match.group(1)}() {why}")
    return found


def check_text():
    """no tabs, no blanks at line ends, C lines of at most 140 columns (texts aside), C files of at most 600 lines, no path of one machine"""
    found = []
    for path in c_files() + files("lua/**/*.lua", "policies/*.lua", "**/*.md", "*.yaml"):
        if path.startswith("build"):
            continue
        lines = text_of(path).count("\n")
        if path[-2:] in (".c", ".h") and lines > FILE_LINES and not path.startswith("tests/"):
            found.append(f"{path}: {lines} lines")
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if line != line.rstrip():
                found.append(f"{path}:{number}: blank at the end of the line")
            if path[-2:] in (".c", ".h") and "\t" in line:
                found.append(f"{path}:{number}: tab")
            if path[-2:] in (".c", ".h") and len(line) > LINE_COLUMNS and '"' not in line and "{{" not in line and not path.startswith("tests/"):
                found.append(f"{path}:{number}: {len(line)} columns")
            if ABSOLUTE.search(line):
                found.append(f"{path}:{number}: a path of one machine")
    return found


def check_symbols():
    """each shared object exports weir_plugin and nothing else; the program exports nothing"""
    found = []
    for so in files(f"{BUILD}/plugins/*.so", f"{BUILD}/providers/*.so"):
        names = exported(so)
        if names != ["weir_plugin"]:
            found.append(f"{so}: exports {', '.join(names) or 'nothing'}")
    if os.path.exists(f"{BUILD}/weir"):
        for name in exported(f"{BUILD}/weir"):
            found.append(f"{BUILD}/weir: exports {name}")
    return found


def exported(path):
    out = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True)
    rows = [line.split() for line in out.stdout.splitlines()]
    # what the linker copies from libc into a program (stderr, environ) carries a version
    return [row[-1] for row in rows if "@" not in row[-1] and not row[-1].startswith(("__asan", "__ubsan", "__odr"))]


def flags_for(path):
    libraries = ["libevent_core", "jansson", "libcurl", "yaml-0.1", "libcrypto", "lua5.4"]
    cflags = subprocess.run(["pkg-config", "--cflags"] + libraries, capture_output=True, text=True).stdout.split()
    return ["-std=c11", "-D_GNU_SOURCE", "-DWEIR_VERSION=\"lint\"", "-Isdk/include", "-Icore", "-Itests/unit"] + cflags


def check_tidy():
    """clang-tidy, with the checks of .clang-tidy"""
    if not shutil.which("clang-tidy"):
        return ["clang-tidy is not installed: make deps-test"]
    sources = files("core/*.c", "lua/*.c", "plugins/*/*.c", "providers/*/*.c")

    def tidy(path):
        out = subprocess.run(["clang-tidy", "--quiet", path, "--"] + flags_for(path), capture_output=True, text=True)
        return [line for line in out.stdout.splitlines() if re.search(r": (warning|error): ", line)]
    found = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        for lines in pool.map(tidy, sources):
            found += lines
    return sorted(set(line.replace(ROOT + "/", "") for line in found))


def check_format():
    """clang-format, for the files that tests/lint/formatted.txt lists (patterns, one a line)"""
    listed = os.path.join(ROOT, "tests/lint/formatted.txt")
    names = text_of(listed).split() if os.path.exists(listed) else []
    found = []
    for path in [p for name in names for p in files(name)]:
        out = subprocess.run(["clang-format", "--dry-run", "-Werror", path], capture_output=True, text=True)
        found += [line for line in out.stderr.splitlines() if ": error:" in line][:1]
    return found


def lua_files():
    """Policies that tests run because they are wrong (tests/policies) are left out."""
    return files("lua/**/*.lua", "policies/**/*.lua", "sdk/templates/**/*.lua")


def check_luac():
    """luac -p"""
    luac = shutil.which("luac5.4") or shutil.which("luac")
    found = []
    for path in lua_files():
        out = subprocess.run([luac, "-p", path], capture_output=True, text=True) if luac else None
        if out is None or out.returncode:
            found.append(out.stderr.strip() if out else "luac5.4 is not installed: make deps-test")
    return found


def check_luacheck():
    """luacheck, with .luacheckrc"""
    if not shutil.which("luacheck"):
        return ["luacheck is not installed: make deps-test"]
    if not lua_files():
        return []
    out = subprocess.run(["luacheck", "--no-color", "--formatter", "plain", "-q"] + lua_files(), capture_output=True, text=True)
    return [line for line in out.stdout.splitlines() if re.match(r".+:\d+:\d+:", line)]


CHECKS = [check_includes, check_levels, check_names, check_calls, check_text, check_symbols, check_luac, check_luacheck,
          check_format, check_tidy]


def main():
    os.chdir(ROOT)
    failed = 0
    chosen = [c for c in CHECKS if not sys.argv[1:] or c.__name__[6:] in sys.argv[1:]]
    for check in chosen:
        found = check()
        failed += bool(found)
        print(f"{'FAIL' if found else 'ok  '} {check.__name__[6:]}: {check.__doc__}", flush=True)
        for line in found[:60]:
            print("     " + line)
        if len(found) > 60:
            print(f"     … and {len(found) - 60} more")
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
