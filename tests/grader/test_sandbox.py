"""The jail from inside: what a student's code can reach, use up, leave behind."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

from grader import sandbox
from grader.exercise import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("bwrap"), reason="no bubblewrap on this machine"
)
SECRET = "a-secret-in-the-teacher-s-environment"


@pytest.fixture(scope="module")
def zygote():
    os.environ["SECRET"] = SECRET
    with sandbox.Zygote(sandbox.Limits(cell=2.0), torch=True) as zygote:
        del os.environ["SECRET"]
        yield zygote


@pytest.fixture
def run(zygote):
    """Run cells in a process of their own; the text that the last one showed."""

    def run(*cells, seconds=2.0):
        with zygote.spawn() as process:
            for cell in cells:
                answer = process.run(cell, seconds)
        return shown(answer)

    return run


def shown(answer):
    texts = []
    for output in answer["outputs"]:
        texts.append(output.get("text") or "".join(output.get("data", {}).values()))
        texts += output.get("traceback", [])
    return "\n".join(texts)


def test_a_cell_shows_what_a_notebook_shows(run):
    assert run("x = 1", "print('a'); x + 1") == "a\n\n2"
    assert "ZeroDivisionError" in run("1 / 0")
    assert run("import warnings", "import sys; print('e', file=sys.stderr)") == "e\n"
    assert "<Figure size" in run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert run("!echo from a shell").strip() == "from a shell"


def test_torch_is_there_and_its_optimizers_are_not(run):
    assert run("import torch; float(torch.ones(2).sum())") == "2.0"
    for cell in (
        "import torch; torch.optim.SGD",
        "from torch.optim import SGD",
        "import sys; del sys.modules['torch.optim']\nfrom torch.optim import SGD",
        "import torch, gc\nfor c in gc.get_objects():\n"
        "    if isinstance(c, type) and c.__name__ == 'Optimizer': kinds = c.__subclasses__()\n"
        "w = torch.ones(1, requires_grad=True); w.sum().backward()\n"
        "o = next(k for k in kinds if k.__name__ == 'SGD')([w], lr=1.0); o.step(); print(w)",
        "import importlib.util as u\nimport torch, os\n"
        "os.listdir(os.path.dirname(torch.__file__) + '/optim')[0]",
    ):
        assert "Error" in run(cell), cell
    assert "No module named" in run("import optlib") and "No module named" in run("import grader")


def test_torch_is_there_for_whoever_speaks_of_it():
    with sandbox.Zygote() as light:
        assert light.knowing(["import numpy"]) is light
        heavy = light.knowing(["x = 1", "import torch"])
        assert heavy is light.knowing(["from torch import nn"]) is not light
        loaded = "import sys; 'torch' in sys.modules"
        for zygote, there in (light, "False"), (heavy, "True"):
            with zygote.spawn() as process:
                assert shown(process.run(loaded, 2.0)) == there
        other = heavy.process
    assert light.process is None and other.poll() is not None


HIDDEN = [
    "import os; print(os.environ)",
    "import os\nfor root in '/', '/root', '/home', '/work', '/etc', '/mnt', '/var', '/opt':\n"
    "    print(os.path.isdir(root) and os.listdir(root))",
    "import os\nfor root, _, files in os.walk('/'):\n"
    "    if 'site-packages' not in root: print([f for f in files if f.endswith('.db')])",
    "import os; print(os.listdir('/proc'))",
    "print(open('/proc/self/environ').read())",
    "print(open('/proc/1/cmdline').read())",
    "print(open('/etc/passwd').read())",
    f"import os; os.chdir({str(ROOT)!r}); print(os.listdir())",
    f"print(open({str(ROOT / 'solutions' / 'optimizers' / 'sgd.py')!r}).read())",
    f"import os; os.symlink({str(ROOT)!r}, 'x'); print(os.listdir('x/solutions'))",
    "!ps aux; cat /proc/*/cmdline; env; ls -R /tmp /run",
    "import gc; print([o for o in gc.get_objects() if isinstance(o, str) and 'teacher' in o])",
    "import ctypes; print(ctypes.string_at(ctypes.c_char_p.in_dll(ctypes.pythonapi, 'environ')))",
]


@pytest.mark.parametrize("cell", HIDDEN)
def test_nothing_of_the_teacher_s_is_seen(run, cell):
    text = run(cell, seconds=20.0)
    assert SECRET not in text
    for word in ("gradebook.db", "nbgrader_config", "pyproject.toml", "points downhill", "root:x"):
        assert word not in text, text


def test_the_gradebook_beside_the_environment_is_not_in_the_jail(zygote, tmp_path, monkeypatch):
    """A course inside the folder that Python is installed in is blanked out."""
    inside = ROOT / ".venv" / "course"
    assert sandbox._secrets([str(ROOT / ".venv")]) == []
    monkeypatch.setattr(os, "getcwd", lambda: str(inside))
    assert str(inside) in sandbox._secrets([str(ROOT / ".venv")])


FORBIDDEN = {
    "write to the installation": "import numpy; open(numpy.__file__, 'a')",
    "write beside the probe": "open('/run/grader/probe.py', 'w')",
    "write to the next student": "open('/tmp/left-behind', 'w')",
    "write to a device folder": "open('/dev/left-behind', 'w')",
    "write to the root": "open('/left-behind', 'w')",
    "write where something was blanked out": "import os; os.chmod('/proc', 0o777)",
    "blanked out packages": "import os, torch\np = os.path.dirname(torch.__file__) + '/optim'\n"
    "os.chmod(p, 0o777); open(p + '/x', 'w')",
    "a million files": "for i in range(10**6): open(f'f{i}', 'w').close()",
    "memory without a size": "import os; os.memfd_create('x')",
    "memory of nobody": "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
    "if libc.shmget(0, 1 << 20, 0o1666) < 0: raise OSError(ctypes.get_errno(), 'shmget')",
    "delete": "import os, numpy; os.remove(numpy.__file__)",
    "a file too large": "open('x', 'w').write('x' * (40 << 20))",
    "a full disk": "[open(f'x{i}', 'w').write('x' * (30 << 20)) for i in range(4)]",
    "50 GB": "import numpy; numpy.ones(50 << 27)",
    "80 TB": "import numpy; numpy.zeros((10**7, 10**6))",
    "all descriptors": "[open('/dev/null') for _ in range(1000)]",
    "loopback": "import socket; socket.create_connection(('127.0.0.1', PORT))",
    "the internet": "import socket; socket.create_connection(('1.1.1.1', 53), timeout=1)",
    "names": "import socket; socket.getaddrinfo('example.org', 80)",
    "a raw socket": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "the host's socket": "import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "the kernel's socket": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "an abstract socket": "import socket; socket.socket(socket.AF_UNIX).connect('\0NAME')",
    "a new user": "import os; os.setuid(0)",
    "kill": "import os; os.kill(2, 9)",
    "threads": "import threading, time\n"
    "for _ in range(100): threading.Thread(target=time.sleep, args=(9,)).start()",
    "forks": "import os\nwhile True: os.fork() or __import__('time').sleep(9)",
    "more than the limits": "import resource\n"
    "resource.setrlimit(resource.RLIMIT_NPROC, (10**6, 10**6))",
    "input": "input()",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_is_forbidden_raises(run, what):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as named:
        name = f"teacher{os.getpid()}"  # the tests run side by side
        named.bind(f"\0{name}")
        named.listen()
        cell = FORBIDDEN[what].replace("PORT", str(server.getsockname()[1])).replace("NAME", name)
        text = run(cell, seconds=5.0)
    assert re.search("Error|gaierror", text) and "NameError" not in text, text


CALLS = [
    "unshare(0x10000000)",  # a new user namespace
    "unshare(0x20000)",  # mounts of its own
    "setns(0, 0)",
    "mount(b'tmpfs', b'/tmp/scratch', b'tmpfs', 0, None)",
    "umount2(b'/proc', 2)",
    "chroot(b'/tmp/scratch')",
    "ptrace(0, 0, 0, 0)",
    "syscall(435, 0, 0)",  # clone3
]


@pytest.mark.parametrize("call", CALLS)
def test_ways_out_are_closed(run, call):
    lines = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    done = run(f"{lines}print(libc.{call}, os.strerror(ctypes.get_errno()))")
    assert done.startswith("-1 "), done


def test_a_process_is_nobody_and_alone(run):
    assert run("import os; [os.getpid(), os.getppid(), os.listdir('.')]") == "[1, 0, []]"
    assert int(run("import os; os.getuid()")) != 0
    assert run("!id -u").strip() != "0"


ENDS = {
    "leaves": ("import os; os._exit(0)", "it left"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "it crashed"),
    "memory": ("import numpy\nx = [numpy.ones(1 << 20) for _ in range(340)]", "too much memory"),
    "memory of many": (
        "import os, time, numpy\nfor _ in range(20):\n    if os.fork() == 0:\n"
        "        x = numpy.ones(1 << 25); time.sleep(9)\ntime.sleep(9)",
        "too much memory",
    ),
    "shared memory": (
        "import mmap\nm = mmap.mmap(-1, 3 << 30)\nfor i in range(0, 3 << 30, 4096): m[i] = 1",
        "too much memory",
    ),
    "forged": (
        "import os\nfor fd in range(3, 256):\n"
        '    try: os.write(fd, b\'{"to": 0, "outputs": []}\\n\')\n    except OSError: pass',
        "it sent what nobody",
    ),
    "garbage": ("import os; os.write(3, b'[' * 100_000 + b'\\n')", "it sent what nobody"),
    "channel closed": ("import os; os.closerange(3, 256)", "it "),
}


@pytest.mark.parametrize("what", ENDS)
def test_the_end_of_a_process_is_told(zygote, what):
    cell, how = ENDS[what]
    with pytest.raises(sandbox.Gone, match=how), zygote.spawn() as process:
        for _ in range(2):
            process.run(cell, 12.0)
    with zygote.spawn() as process:
        assert shown(process.run("1 + 1", 2.0)) == "2"


SWALLOWS = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
THREADS = "import threading\nfor _ in range(4): threading.Thread(target=sum, args=(N,)).start()\nx"
LOOPS = {  # the cell, and whether its process hears the interrupt; None: either
    "loop": ("while True: pass", True),
    "sleep": ("import time; time.sleep(60)", True),
    "deadlock": ("import threading; threading.Event().wait()", True),
    "loop that swallows": (SWALLOWS, None),
    "ignored interrupt": ("import signal; signal.signal(2, signal.SIG_IGN)\nwhile 1: pass", False),
    "loop in C": ("sum(iter(int, 1))", False),
    "flood": ("while True: print('x' * 10_000)", True),
    "flood of a descriptor": ("import os\nwhile True: os.write(1, b'x' * 10_000)", True),
    "half an answer": ("import os, time; os.write(3, b'{'); time.sleep(60)", None),
    "threads that stay": (THREADS.replace("N", "iter(int, 1)"), None),
}


@pytest.mark.parametrize("what", LOOPS)
def test_what_does_not_end_is_ended(zygote, what):
    cell, lives_on = LOOPS[what]
    with zygote.spawn() as process:
        process.run("x = 7", 2.0)
        try:
            process.run(cell, 0.5)
        except (sandbox.Late, sandbox.Gone) as end:
            answer = getattr(end, "answer", None)
            assert lives_on is None or (answer is not None) == lives_on
        if lives_on:
            assert shown(process.run("x", 2.0)) == "7"
        pid = process.pids["pid"]
    # From outside: a process of that number in the zygote's namespace is gone.
    assert zygote.request(waited=pid) == {"waited": 0.0}


def test_what_is_left_running_ends_and_nothing_is_found_by_the_next(zygote):
    with zygote.spawn() as process:
        process.run("open('mine', 'w').write('x'); import builtins, numpy; builtins.mine = 1", 2.0)
        process.run(
            "import subprocess; subprocess.Popen(['sleep', '987'], start_new_session=True)", 2.0
        )
        process.run("import atexit; atexit.register(lambda: open('/tmp/late', 'w'))", 2.0)
        assert sleepers() == 1
    assert sleepers() == 0
    with zygote.spawn() as process:
        found = process.run("import os, builtins; os.listdir(), hasattr(builtins, 'mine')", 2.0)
        assert shown(found) == "([], False)"


def sleepers():
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return sum(line.strip() == "sleep 987" for line in found.stdout.splitlines())


def test_output_is_bounded(zygote):
    with zygote.spawn() as process:
        answer = process.run("print('x' * 10**8)\nfrom IPython.display import display\n"
                             "for _ in range(50): display({'text/plain': 'y' * 10**5}, raw=True)",
                             10.0)  # fmt: skip
    assert len(shown(answer)) <= 1_000_100


def test_a_zygote_that_was_killed_is_started_again(zygote):
    with zygote.spawn() as process:
        process.run("1", 2.0)
        zygote.process.kill()
        with pytest.raises(sandbox.Gone):
            for _ in range(200):  # the kernel ends one after the other
                process.run("2", 2.0)
                time.sleep(0.05)
    with zygote.spawn() as process:
        assert shown(process.run("3", 2.0)) == "3"


def test_the_jail_ends_with_whoever_built_it():
    code = (
        "import os, time\nfrom grader.sandbox import Zygote\nzygote = Zygote(); zygote.start()\n"
        "with zygote.spawn() as p:\n    p._send(run='!sleep 986')\n    time.sleep(1)\n"
        "    print('ready', flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT
    ) as teacher:
        assert teacher.stdout.readline() == b"ready\n"
        assert "sleep 986" in processes()
        teacher.kill()
    for _ in range(100):
        if "sleep 986" not in processes():
            return
        time.sleep(0.1)
    raise AssertionError("a student's process outlived the teacher's")


def processes():
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_whoever_waits_for_a_core_is_not_late(zygote, monkeypatch):
    with zygote.spawn() as process:
        real = zygote.request
        monkeypatch.setattr(
            zygote,
            "request",
            lambda fds=(), **r: {"waited": 0.6} if "waited" in r else real(fds, **r),
        )
        assert shown(process.run("import time; time.sleep(0.8); 5", 0.5)) == "5"


def test_without_bubblewrap_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "bubblewrap is not installed" in sandbox.missing()
    said = sandbox.refusal(sandbox.missing())
    assert "no network" in said and "gradebook" in said
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "darwin has no namespaces" in sandbox.missing()


def test_without_a_jail_the_same_cells_run(monkeypatch):
    with sandbox.Zygote(jailed=False) as zygote:
        with zygote.spawn() as process:
            assert shown(process.run("x = 2; x + 1", 5.0)) == "3"
            with pytest.raises(sandbox.Late) as late:
                process.run("while True: pass", 0.5)
            assert late.value.answer
        folder = zygote.folder.name
        assert os.path.isdir(folder)
    assert not os.path.exists(folder)
