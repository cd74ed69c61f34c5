"""Pins what a hostile program cannot do: pass its tests without solving them, or reach out.

Run: python -m pytest tests/grading/programs/test_hostile.py
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rft.errors import RFTError
from rft.grading.judgement import Judgement
from rft.grading.programs.sandbox import Limits, Over, Sandbox
from rft.grading.verifiers import open_verifier
from rft.recipe import Grade
from tests.sandboxes import needs_bwrap

pytestmark = needs_bwrap

SECRET = json.dumps({"inputs": ["1\n", "2\n"], "outputs": ["17\n", "a-secret-4711\n"]})
ASSERTS = "assert f(1) == 17\nassert f(2) == 4711"
SAYS = 1 << 20


@pytest.fixture(scope="module")
def verifier() -> Iterator:
    with open_verifier(Grade(verifier="code", deadline=1.0)) as verifier:
        yield verifier


def judged(verifier, gold: str, program: str) -> Judgement:
    return verifier.verdicts([(gold, program)])[gold, program]


def said(verifier, program: str) -> str:
    """Give what a program printed that came to its end."""
    ended = verifier.sandbox.run("run", {"source": program}, most=SAYS)
    assert ended.code == 0, ended
    return ended.output.decode()


@pytest.mark.parametrize(
    ("program", "judgement"),
    [
        ("while True: pass", ("timeout", "deadline")),
        ("import signal\nsignal.signal(signal.SIGXCPU, lambda *_: 0)\nwhile True: pass",
         ("timeout", "deadline")),
        ("import time\ntime.sleep(1000)", ("timeout", "deadline")),
        ("while True: print('x' * 1000)", ("wrong", "too_much")),
        ("import os\nwhile True: os.fork()", ("wrong", "crash")),
        ("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,))"
         ".start()", ("timeout", "deadline")),
        ("import os, sys\nos.execv(sys.executable, ['python'])", ("wrong", "crash")),
        ("import subprocess\nsubprocess.run(['/bin/sh'])", ("wrong", "crash")),
        ("import ctypes\nctypes.string_at(0)", ("wrong", "crash")),
        ("def f(): f()\nimport sys\nsys.setrecursionlimit(10**9)\nf()", None),
    ],
)  # fmt: skip
def test_a_program_that_takes_everything_is_ended(verifier, program, judgement):
    found = judged(verifier, SECRET, program)
    assert found.verdict != "correct"
    if judgement:
        assert (found.verdict, found.path) == judgement


@pytest.mark.parametrize(
    "program", ["x = 'a' * 10**10", "x = []\nwhile True: x.append(' ' * 10**6)"]
)
def test_a_program_that_takes_all_memory_is_ended(program):
    little = Grade(verifier={"code": {"memory_mb": 128}}, deadline=30.0)
    with open_verifier(little) as verifier:
        found = judged(verifier, SECRET, program)
    assert (found.verdict, found.path) == ("timeout", "memory")


def test_no_file_of_ours_can_be_read(verifier, tmp_path):
    (tmp_path / "secret.txt").write_text("ours")
    home, here = Path.home(), Path.cwd()
    places = ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/1/environ", "/sys", "/var",
              str(tmp_path / "secret.txt"), str(home / ".bashrc"), str(home / ".cache"), "/home",
              str(here / "pyproject.toml"), str(here / "rft" / "errors.py"), "/dev/sda",
              "/dev/mem"]  # fmt: skip
    program = f"import os\nprint([place for place in {places!r} if os.path.exists(place)])"
    assert said(verifier, program) == "[]\n"


def test_no_key_is_in_the_environment(verifier, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-ours")
    names = set(said(verifier, "import os\nprint(*os.environ)").split())
    assert names <= {"PYTHONPATH", "PYTHONHASHSEED", "PYTHONIOENCODING", "LANG", "LC_CTYPE", "PWD"}


@pytest.mark.parametrize(
    "place", ["/x", "/box/rft/x", "/box/rft/grading/programs/inside.py", "/usr/lib/x", "/dev/shm/x"]
)
def test_nothing_can_be_written_outside_of_its_own_folder(verifier, place):
    program = f"try: open({place!r}, 'w')\nexcept OSError: print('refused')"
    assert said(verifier, program) == "refused\n"


def test_its_own_folder_is_small_and_gone_afterwards(verifier):
    assert said(verifier, "open('x', 'w').write('a')\nprint(open('x').read())") == "a\n"
    assert said(verifier, "import os\nprint(os.listdir())") == "[]\n"
    fill = (
        "n = 0\ntry:\n    while True:\n        n += open(str(n), 'wb').write(bytes(1 << 20))\n"
        "except OSError: print('full', n < 1 << 25)"
    )
    assert said(verifier, fill) == "full True\n"


def test_there_is_no_network(verifier):
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = (
            "import socket\ntry: socket.create_connection(('127.0.0.1', "
            f"{server.getsockname()[1]}))\nexcept OSError: print('none')"
        )
        assert said(verifier, program) == "none\n"


def test_no_other_process_can_be_seen_or_killed(verifier):
    program = (
        "import os\nseen = []\nfor pid in range(1, 40000):\n    try: os.kill(pid, 0)\n"
        "    except OSError: continue\n    seen.append(pid)\n"
        "os.kill(1, 9)\nos.kill(os.getppid(), 9)\nprint(len(seen))"
    )
    assert int(said(verifier, program)) <= 2  # itself, and what began it
    assert judged(verifier, SECRET, f"import os\nos.kill({os.getpid()}, 9)").verdict == "wrong"


@pytest.mark.parametrize(
    "call",
    ["memfd_create(b'x', 0)", "unshare(0x10000000)", "shmget(0, 1 << 30, 0o1777)",
     "ptrace(0, 0, 0, 0)", "mount(0, b'/tmp', b'tmpfs', 0, 0)"],
)  # fmt: skip
def test_the_kernel_refuses_what_no_program_needs(verifier, call):
    program = (
        f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.{call}, "
        "ctypes.get_errno())"
    )
    assert said(verifier, program) == "-1 1\n"


def test_what_is_wanted_is_nowhere_that_a_program_could_look(verifier):
    look = (
        "import gc, sys, os\nseen = [repr(each) for each in gc.get_objects()]\n"
        "frame = sys._getframe()\nwhile frame:\n    seen.append(repr(frame.f_locals))\n"
        "    frame = frame.f_back\nseen.append(sys.stdin.read())\n"
        "seen += [open(os.path.join(a, c)).read() for a, b, d in os.walk('/box') for c in d]\n"
        "wanted = '-'.join(['secret', '4711'])\n"
        "print([each[:99] for each in seen if wanted in each])"
    )
    ended = verifier.sandbox.run("run", {"source": look}, b"2\n", most=SAYS)
    assert (ended.code, ended.output) == (0, b"[]\n")
    assert judged(verifier, SECRET, "print(17)\nprint('a-secret-4711')").verdict == "wrong"


@pytest.mark.parametrize(
    "program",
    [
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "import os\ndef f(n): os._exit(0)",
        "def f(n): raise SystemExit(0)",
        "import sys\ndef f(n): sys.exit(0)",
        "import atexit, os\natexit.register(os._exit, 0)\ndef f(n): return 0",
        "class Any:\n    def __eq__(self, other): return True\ndef f(n): return Any()",
        "class Any(int):\n    def __eq__(self, other): return True\ndef f(n): return Any()",
        "class Any:\n    def __repr__(self): return '17'\ndef f(n): return Any()",
        "import builtins\nbuiltins.AssertionError = None\n__debug__ = False",
        "import builtins\nbuiltins.__build_class__ = builtins.exec = print\ndef f(n): return 0",
        "class Passed(BaseException): pass\ndef f(n): raise Passed()",
        "def f(n): raise StopIteration\n",
        "import os\nfor fd in range(60):\n    try: os.write(fd, b'{\"value\": 17}\\n' * 9)\n"
        "    except OSError: pass\ndef f(n): return 0",
        "import os\nfor fd in range(60):\n    try: os.close(fd)\n    except OSError: pass\n"
        "def f(n): return 0",
        "import gc\nfor each in gc.get_objects():\n    if type(each).__name__ == 'Offered':\n"
        "        each.do = lambda request: {'value': True, 'args': []}\ndef f(n): return 0",
    ],
)
def test_asserts_cannot_be_skipped_ended_or_bent(verifier, program):
    assert judged(verifier, ASSERTS, program).verdict in ("wrong", "unparseable")


def test_names_of_python_and_its_modules_stay_what_they_are(verifier):
    tests = "import math\nassert abs(f(2) - 5) < 1e-9 and math.isclose(f(2), 5) and len([1]) == 1"
    program = (
        "def f(n): return 0\ndef abs(n): return 0\ndef len(n): return 1\n"
        "class math:\n    isclose = staticmethod(lambda *a: True)"
    )
    assert judged(verifier, tests, program).verdict == "wrong"


def test_a_gold_is_no_more_trusted_than_a_program(verifier, tmp_path):
    mark = tmp_path / "mark"
    gold = f"open({str(mark)!r}, 'w').write('x')\nassert True"
    assert judged(verifier, gold, "f = 1").verdict == "wrong"
    assert judged(verifier, "while True: pass\nassert f", "f = 1").verdict == "timeout"
    assert not mark.exists()


def test_whoever_waits_for_nothing_more_ends_the_programs():
    sandbox = Sandbox(Limits(1000.0, 1 << 29))
    threading.Timer(0.5, sandbox.over.set).start()
    with pytest.raises(Over):
        sandbox.run("run", {"source": "while True: pass"}, most=SAYS)


def test_a_sandbox_that_does_not_begin_is_no_verdict(monkeypatch):
    sandbox = Sandbox(Limits(1.0, 1 << 29))
    monkeypatch.setattr(sandbox, "_bwrap", "/bin/false")
    with pytest.raises(RFTError, match="does not start any more"):
        sandbox.run("run", {"source": "print(1)"}, most=SAYS)
