"""The commands that need no running weir: what they print, and their exit codes (0 well, 1 not, 2 a wrong command line)."""
import hashlib
import json
import os
import re
import subprocess
import tempfile

from harness import BUILD, DEADLINE, ROOT, Upstream, Weir, config, openai_answer

PROGRAM = os.path.join(BUILD, "weir")


def weir(*arguments, code=0, cwd=None, env=None):
    environment = {k: v for k, v in os.environ.items() if k != "WEIR_CONFIG"}
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, cwd=cwd, timeout=DEADLINE * 3, env={**environment, **(env or {})})
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


CONFIG = """
listen: [127.0.0.1:0]
providers:
  sim: { dialect: simulator }
  openai: { dialect: openai, base_url: http://127.0.0.1:9/v1, key: env:WEIR_TEST_UNSET }
models:
  demo: { targets: [sim/demo, openai/gpt-4o] }
entry: [log]
routes:
  - match: { path: /v1/* }
    open: true
    pipeline: []
"""


class Folder:
    def __init__(self, text=CONFIG, **files):
        self.path = tempfile.mkdtemp(prefix="weir-cmd-")
        self.write("weir.yaml", text)

    def write(self, name, text):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path


def test_wrong_command_lines():
    assert "usage" in weir(code=2)
    assert "no command 'nonsense'" in weir("nonsense", code=2)
    assert "usage: weir serve" in weir("serve", "--nonsense", code=2)
    assert "--workers must be" in weir("serve", "--workers", "many", code=2)
    assert "usage: weir explain-plugin" in weir("explain-plugin", code=2)
    assert "usage: weir key new" in weir("key", code=2)
    assert "needs a name" in weir("key", "new", code=2)
    assert "letters, digits" in weir("key", "new", "--name", "a b", code=2)
    assert "stages and providers" in weir("new", "thing", "x", code=2)


def test_help_of_every_command():
    commands = re.findall(r"^  ([a-z-]+(?: new)?)  ", weir("--help"), re.M)
    assert len(commands) == 16, commands
    for command in commands:
        text = weir(*command.split(), "--help")
        assert text.startswith(f"usage: weir {command}") and "-h, --help" in text, text


def test_version():
    assert re.fullmatch(r"weir \d+\.\d+\.\d+, plugin ABI 1\.\d+\n", weir("version"))
    assert weir("--version") == weir("version")


def test_a_new_key_opens():
    text = weir("key", "new", "--name", "search-prod", "--team", "search", "--models", "m, openai/gpt-4o*")
    key = re.search(r"^  (wk-\S{40})$", text, re.M).group(1)
    line = re.search(r'^  - \{ name: "search-prod", team: "search", hash: "sha256:([0-9a-f]{64})", models: \["m", "openai/gpt-4o\*"\] \}$', text, re.M)
    assert line.group(1) == hashlib.sha256(key.encode()).hexdigest()
    assert key not in weir("key", "new", "--name", "x")
    with Upstream(openai_answer("ok")) as up:
        c = config(up, entry=["auth"], keys=[{"name": "k", "hash": "sha256:" + line.group(1), "models": ["m"]}])
        with Weir(c) as w:
            assert w.chat(headers={"authorization": "Bearer " + key}).status == 200
            assert w.chat(headers={"authorization": "Bearer " + key + "x"}).status == 401


def test_errors_are_those_of_the_sources():
    listed = dict(re.findall(r"^([a-z_]+) \((\d+)\)$", weir("errors"), re.M))
    assert listed["missing_key"] == "401" and listed["no_route"] == "404", listed
    assert weir("errors", "no_route").startswith("no_route (404)")
    assert "no code 'nonsense'" in weir("errors", "nonsense", code=1)
    used = set()
    for folder in ("core", "plugins/auth", "plugins/log"):
        for name in os.listdir(os.path.join(ROOT, folder)):
            if name.endswith(".c"):
                with open(os.path.join(ROOT, folder, name)) as f:
                    used |= set(re.findall(r'\.code = WEIR_LIT\("([a-z_]+)"\)', f.read()))
    missing = {c for c in used if c not in listed and c not in ("the_code",)}
    assert not missing, missing


def test_check_finds_the_configuration():
    f = Folder()
    assert "no mistakes; 2 providers, 1 models" in weir("check", cwd=f.path)
    assert "no mistakes" in weir("check", cwd="/", env={"WEIR_CONFIG": os.path.join(f.path, "weir.yaml")})
    assert "name the configuration with -c" in weir("check", cwd=tempfile.mkdtemp(prefix="weir-cmd-"), code=1)
    assert "nowhere.yaml" in weir("check", "-c", "nowhere.yaml", code=1)


def test_check_says_all_mistakes():
    f = Folder(CONFIG.replace("base_url:", "base_ulr:").replace("entry: [log]", "entry: [lgo]"))
    text = weir("check", cwd=f.path, code=1)
    assert re.search(r"weir\.yaml:5:\d+: .*base_ulr.*did you mean .base_url", text), text
    assert re.search(r"weir\.yaml:8:\d+: .*lgo.*did you mean .log", text), text


def test_check_is_strict_if_asked():
    f = Folder()
    assert weir("check", cwd=f.path)
    assert "WEIR_TEST_UNSET is not set" in weir("check", "--strict", cwd=f.path, code=1)
    assert weir("check", "--strict", cwd=f.path, env={"WEIR_TEST_UNSET": "sk-1"})


def test_check_tries_the_stages():
    f = Folder(CONFIG.replace("pipeline: []", "pipeline: [{ policy: { file: rules/a.lua } }]"))
    f.write("rules/a.lua", "return {")
    assert re.search(r"rules/a\.lua:1", weir("check", cwd=f.path, code=1))
    f.write("rules/a.lua", "return {}")
    assert "no mistakes" in weir("check", cwd=f.path)
    f.write("weir.yaml", CONFIG.replace("entry: [log]", "entry: [{ log: { file: requests.log } }]"))
    assert "no mistakes" in weir("check", cwd=f.path)
    assert not os.path.exists(os.path.join(f.path, "requests.log")), "checking leaves nothing behind"


def test_schema():
    schema = json.loads(weir("check", "--schema"))
    assert schema["type"] == "object" and "providers" in schema["properties"] and "simulator" in json.dumps(schema)
    for name in ("provider", "model"):  # the catalogue and the table of models give what isn't said
        assert "required" not in schema["$defs"][name], schema["$defs"][name]["required"]


def test_models():
    f = Folder()
    text = weir("models", cwd=f.path)
    assert re.search(r"^demo\n +sim/demo +available\n +openai/gpt-4o +WEIR_TEST_UNSET is not set$", text, re.M), text


def test_models_of_the_table():
    text = weir("models", "llama-3.3-70b", "--provider", "groq", cwd="/")
    assert re.search(r"^groq/llama-3.3-70b-versatile +chat +128k +in=0.59 out=0.79 ", text, re.M), text
    found = json.loads(weir("models", "claude-sonnet-4-5", "-p", "anthropic", "--json", cwd="/"))
    assert found[0]["price_input"] == 3 and found[0]["context"] == 200000 and ">200k: in=6" in found[0]["prices"], found
    assert "nothing is known" in weir("models", "no-such-model", cwd="/")
    assert "GROQ_API_KEY" in weir("models", "--providers", "groq", cwd="/")
    f = Folder()
    assert json.loads(weir("models", "--json", cwd=f.path))[0]["target"] == "sim/demo"


def test_probe():
    def answer(conn):
        while conn.read_request():
            conn.respond(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "served-1", "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "OK \u00e9"}}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}})
    with Upstream(answer) as up:
        f = Folder()
        f.write("weir.yaml", json.dumps(config(up, entry=["auth"], keys=[{"name": "k", "hash": "sha256:" + "0" * 64}])))
        text = weir("models", "--probe", "m", cwd=f.path)
        assert re.search(r"status +200\ntime +\d+ ms\ntarget +up/m\nmodel +served-1\nanswer +OK é\ntokens +9 in, 2 out", text), text
        assert up.requests[0].headers["authorization"] == "Bearer upstream-key"
    f.write("weir.yaml", json.dumps(config()))
    failed = subprocess.run([PROGRAM, "models", "--probe", "up/other"], capture_output=True, text=True, cwd=f.path)
    assert failed.returncode == 1 and "status    502 upstream_connect" in failed.stdout, failed
    assert "neither a configured model nor provider/model" in weir("models", "--probe", "nobody", cwd=f.path, code=1)
    assert not [n for n in os.listdir("/tmp") if n.startswith("weir-probe-")], "nothing is left behind"


def test_explain_plugin():
    text = weir("explain-plugin", os.path.join(BUILD, "plugins/log.so"))
    assert "a stage" in text and "on_finish" in text and "file (text)" in text, text
    text = weir("explain-plugin", os.path.join(BUILD, "providers/openai.so"))
    assert "POST /v1/chat/completions" in text and "provider for  chat" in text, text
    assert "not a shared object" in weir("explain-plugin", __file__, code=1)
    assert "does not exist" in weir("explain-plugin", "/nowhere.so", code=1)


def test_questions_to_a_weir_that_is_not_there():
    f = Folder()
    for command in ("status", "reload"):
        assert "no weir answers at" in weir(command, "--admin", "/nowhere/admin.sock", code=1)
        assert "no weir answers at" in weir(command, "-c", os.path.join(f.path, "weir.yaml"), code=1)


def test_status_as_json():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as w:
        status = json.loads(weir("status", "--json", "-c", w.config_path))
        assert status["state"] == "running" and len(status["workers"]) == 2, status
