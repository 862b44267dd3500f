"""What the Python clients' tests share: where weir is, and a counting runner. Run inside build/clients/venv by run.py."""
import json
import os
import sys
import traceback

URL = os.environ["WEIR_URL"]
KEY = os.environ["WEIR_KEY"]          # may use every model
NARROW = os.environ["WEIR_KEY_NARROW"]  # may use `demo` only
# The same simulated model behind four of weir's provider codecs.
TARGETS = ["simulator", "sim_claude", "sim_gemini", "sim_responses"]
# Responses has no stop sequences and no limit below 16 tokens.
STOPPING = [t for t in TARGETS if t != "sim_responses"]

TOOL_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
               "required": ["city"]}

_tests = []


def test(*arguments):
    """@test() runs once, @test("a", "b") once for each argument."""
    def register(function):
        for argument in arguments or (None,):
            _tests.append((function, argument))
        return function
    return register


def raises(kind, function, **checks):
    """The call raises exactly this class; checks: attributes of the exception."""
    try:
        function()
    except Exception as error:
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
        for name, want in checks.items():
            got = getattr(error, name)
            assert got == want, f"{name} is {got!r} instead of {want!r}: {error}"
        return error
    raise AssertionError(f"nothing was raised, {kind.__name__} was due")


def recorded():
    path = os.environ.get("WEIR_EXPECTED")
    return json.load(open(path)) if path else []


def main():
    passed = failed = 0
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    for function, argument in _tests:
        name = function.__name__ + (f"[{argument}]" if argument else "")
        if only not in name:
            continue
        try:
            function(*([argument] if argument is not None else []))
            passed += 1
        except Exception as error:
            failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}")
            if os.environ.get("WEIR_TRACE"):
                traceback.print_exc()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
