"""The jail that every student's code runs in, and the warm process inside it.

bubblewrap builds the outer wall: no network, a file system that holds the Python installation and
nothing else, read-only, an empty environment. Inside it `zygote.py` has imported numpy and its like
once and forks a child for each submission, with a wall of its own around it.
"""

import contextlib
import functools
import importlib.util
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
INSIDE = "/run/grader"  # where zygote.py and probe.py lie in the jail
SCRATCH = "/tmp/scratch"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")
NEEDED = ("numpy", "torch", "matplotlib", "IPython")  # wherever they are installed
# Packages in which an answer could be read: ours are not in the jail, the others are blanked out.
OURS = ("optlib", "grader")
ANSWERS = ("torch.optim", "torch.distributed.optim", "sklearn.neural_network")
ENVIRONMENT = {
    "HOME": SCRATCH, "TMPDIR": SCRATCH, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
    "IPYTHONDIR": "/tmp/ipython", "MPLCONFIGDIR": "/tmp/matplotlib", "MPLBACKEND": "agg",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1", "NBGRADER_EXECUTION": "autograde",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip
FIRST_UID = 600_000  # where root grades, each worker's students have a user id that nobody has
START = 120  # seconds the imports may take on a busy machine
MOST_ANSWER = 16_000_000  # bytes of one answer
GRACE = 0.3  # seconds from an interrupt to the end
PROTECTIONS = (
    "a read-only file system without the course, the gradebook, the solutions and the other "
    "submissions; no network; an empty environment; bounds on memory, processes and disk; "
    "an end to whatever is left running"
)


class NoJail(RuntimeError):
    """This machine cannot keep students' code apart; the message says what is missing."""


class Gone(Exception):
    """The student's process is no more."""


class Late(Exception):
    """The student's process did not answer in time; `answer` is what it said when interrupted."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer


@dataclass(frozen=True)
class Limits:
    """What one submission's processes may use; sizes in bytes, times in seconds.

    Times are those of a process that has a core: where it waits for one, the clock stands still.
    """

    cell: float = 2.5
    suspect: float = 0.5  # once a cell was late: for each of those that come after it
    notebook: float = 30.0
    restarts: int = 3  # cells that may end their process
    memory: int = 2 << 30  # of all processes together, beyond what they start with
    address_space: int = 4 << 30  # of one process: torch alone takes most of a gigabyte
    processes: int = 24
    cpu: int = 60  # of one process
    file: int = 32 << 20
    disk: int = 64 << 20  # the scratch folder
    files: int = 128  # open at once

    def rlimits(self):
        return {
            "RLIMIT_AS": self.address_space, "RLIMIT_NPROC": self.processes,
            "RLIMIT_CPU": self.cpu, "RLIMIT_FSIZE": self.file, "RLIMIT_NOFILE": self.files,
            "RLIMIT_CORE": 0,
        }  # fmt: skip


def missing():
    """What this machine lacks for a jail, in a sentence; None where there is one."""
    try:
        with Zygote() as zygote, zygote.spawn():
            return None
    except NoJail as error:
        return str(error)


def ready(limits=None, unsafe=False):
    """A warm zygote that has shown that it works; raises `NoJail`, or does without if `unsafe`."""
    zygote = Zygote(limits)
    try:
        with zygote.spawn():
            return zygote
    except NoJail as error:
        zygote.stop()
        if not unsafe:
            raise NoJail(refusal(error)) from error
        return Zygote(limits, jailed=False)


def _lacking():
    """What is seen to be missing without a try; None where nothing is."""
    if sys.platform != "linux":
        return f"{sys.platform} has no namespaces: grade on Linux, in a container or under WSL"
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap)"
    return None


def refusal(reason):
    """What a teacher is told where there is no jail."""
    return (
        f"There is no jail here: {reason}. Missing would be: {PROTECTIONS}. "
        "Whoever trusts the students can say that it should be done without"
    )


def command(*arguments):
    """The command line that starts the zygote in its jail."""
    words = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--unshare-ipc"]
    words += ["--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:  # to become another user for each student, and to end what that one does
        words += ["--cap-drop", "ALL"]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_KILL"):
            words += ["--cap-add", capability]
    else:
        words += ["--unshare-user"]
    for path in SYSTEM:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            words += ["--ro-bind", path, path]
    words += ["--tmpfs", "/tmp"]  # before what may lie in it: a clone in /tmp has its .venv there
    folders = _installation()
    for path in [*folders, INSIDE]:
        for parent in reversed(Path(path).parents[:-1]):  # bubblewrap makes them for itself alone
            words += ["--perms", "0755", "--dir", str(parent)]
    for path in folders:
        words += ["--ro-bind", path, path]
    for path in _secrets(folders):
        words += ["--tmpfs", path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--perms", "0755", "--dir", INSIDE, "--dir", SCRATCH]
    for path in _font_lists():
        words += ["--ro-bind", str(path), f"{ENVIRONMENT['MPLCONFIGDIR']}/{path.name}"]
    for name in ("zygote.py", "probe.py"):
        words += ["--ro-bind", str(HERE / name), f"{INSIDE}/{name}"]
    for name, value in ENVIRONMENT.items():
        words += ["--setenv", name, value]
    words += ["--remount-ro", "/", "--chdir", "/tmp"]
    return [*words, "--", sys.executable, f"{INSIDE}/zygote.py", *arguments]


def _installation():
    """The folders that Python and its packages lie in, without those inside another."""
    found = {sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib")}
    found |= {os.path.dirname(p) for p in map(_package, NEEDED) if p}
    # By the names that lead there, too: what is behind a link would not be found by them.
    found = sorted(found | {os.path.realpath(path) for path in found})
    outside = [p for p in found if os.path.exists(p) and not _inside(p, ("/usr", "/lib"))]
    return [p for p in outside if not _inside(p, [q for q in outside if q != p])]


def _secrets(folders):
    """What must not be seen although it lies in a folder that is: our packages, the course."""
    found = [p for p in map(_package, OURS) if p] + [str(HERE.parent), os.getcwd()]
    shown = {*folders, "/usr"}
    both = {*found, *map(os.path.realpath, found)}
    return sorted(p for p in both if p not in shown and _inside(p, shown))


def _inside(path, folders):
    return any(path.startswith(f"{folder}/") for folder in folders)


@functools.cache
def _package(name):
    """The folder of a package, or None. Nothing is imported: importing torch takes a second."""
    first, *rest = name.split(".")
    spec = importlib.util.find_spec(first)
    folder = spec and spec.origin and os.path.join(os.path.dirname(spec.origin), *rest)
    return folder if folder and os.path.isdir(folder) else None


def _font_lists():
    """matplotlib's list of fonts, made once: without it every start would look through the disk."""
    import matplotlib
    import matplotlib.font_manager  # noqa: F401  (makes the list)

    return Path(matplotlib.get_cachedir()).glob("fontlist*.json")


class Zygote:
    """The warm process: `with Zygote() as zygote, zygote.spawn() as process: process.run(...)`."""

    numbers = itertools.count()

    def __init__(self, limits=None, jailed=True, torch=False):
        self.limits, self.jailed, self.torch = limits or Limits(), jailed, torch
        self.number = next(self.numbers)
        self.process = self.folder = self.other = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def knowing(self, sources):
        """This one, or one that has torch as well where these sources speak of it."""
        if self.torch or not any("torch" in source for source in sources):
            return self
        self.other = self.other or Zygote(self.limits, self.jailed, torch=True)
        return self.other

    def start(self):
        """Start it if it is not there; the imports take a second or two."""
        if self.process and self.process.poll() is None:
            return
        self.stop()
        if self.jailed and (reason := _lacking()):
            raise NoJail(reason)
        self.control, theirs = socket.socketpair()
        self.control.settimeout(START)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs:
            self.process = self._popen(theirs.fileno())
        if self._receive() != b"ready":
            complaint = self._complaint()
            self.stop()
            raise NoJail(f"this machine does not let bubblewrap build one ({complaint})")

    def _popen(self, control):
        arguments = [str(control)] + ["torch"] * self.torch
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": self.errors}
        if self.jailed:
            return subprocess.Popen(command(*arguments), pass_fds=[control], **pipes)
        self.folder = tempfile.TemporaryDirectory()
        return subprocess.Popen(
            [sys.executable, str(HERE / "zygote.py"), *arguments], pass_fds=[control],
            env=ENVIRONMENT | {"HOME": self.folder.name, "PATH": os.environ.get("PATH", "")},
            cwd=self.folder.name, start_new_session=True, **pipes,
        )  # fmt: skip

    def _complaint(self):
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        return said[-1] if said else "the process that students' code is forked from did not start"

    def stop(self):
        """End it and all that it started."""
        if self.other:
            self.other.stop()
        if not self.process:
            return
        self.process.kill()  # bubblewrap's first process goes with it, and with that one the rest
        self.process.wait()
        self.control.close()
        self.errors.close()
        if self.folder:
            self.folder.cleanup()
        self.process = self.folder = None

    @contextlib.contextmanager
    def spawn(self):
        """A process of its own for one submission; it and all that it starts end with the block."""
        process = self._spawned()
        try:
            yield process
        finally:
            process.close()

    def _spawned(self):
        for _ in range(2):  # whoever ends the zygote has not ended the class
            self.start()
            ours, theirs = socket.socketpair()
            with theirs:
                pids = self.request([theirs.fileno()], spawn=self._about())
            if "pid" in pids:
                return Process(self, pids, ours)
            ours.close()
            self.stop()
        complaint = pids.get("error", "no process could be started")
        raise NoJail(f"this machine does not let one be built ({complaint})")

    def _about(self):
        limits = self.limits.rlimits()
        if not self.jailed:
            del limits["RLIMIT_NPROC"]  # it would count the teacher's own processes
        return {
            "jailed": self.jailed,
            "uid": FIRST_UID + (os.getpid() * 64 + self.number) % 1_000_000,
            "scratch": SCRATCH if self.jailed else self.folder.name,
            "disk": self.limits.disk,
            "memory": self.limits.memory,
            "masked": [p for p in map(_package, ANSWERS) if p] if self.jailed else [],
            "limits": limits,
        }

    def request(self, fds=(), **request):
        """Ask the zygote itself; an empty answer says that it is no more."""
        try:
            socket.send_fds(self.control, [json.dumps(request).encode()], fds)
        except OSError:
            return {}
        said = self._receive()
        return json.loads(said) if said else {}

    def _receive(self):
        try:
            return self.control.recv(65536)
        except OSError:
            return b""


class Process:
    """One submission's process, behind a channel that nothing but it writes to.

    A request is a line of JSON and so is its answer, which may hold anything.
    """

    def __init__(self, zygote, pids, channel):
        self.zygote, self.pids, self.channel = zygote, pids, channel
        self.numbers = itertools.count()
        self.waited = 0.0  # seconds for a core, as far as it was asked for
        self.ended = None

    def run(self, source, seconds):
        """Run a cell; its answer. One that is late is interrupted, and may live on: see `Late`."""
        number = self._send(run=source)
        try:
            return self._answer(number, seconds)
        except Late:
            self.zygote.request(interrupt=self.pids["pid"])
        try:
            answer = self._answer(number, GRACE)
        except (Late, Gone):
            self.close()
            raise Late from None
        raise Late(answer)

    def ask(self, seconds, **request):
        """Send a request, return its answer; raises `Late` or `Gone`, and then it is no more."""
        try:
            return self._answer(self._send(**request), seconds)
        except Late:
            self.close()
            raise

    def _send(self, **request):
        number = next(self.numbers)
        self.channel.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            if self.channel.recv(1):
                self._gone("it sent what nobody had asked for")
            self._gone()
        try:
            self.channel.settimeout(START)
            self.channel.sendall(json.dumps({"id": number} | request).encode() + b"\n")
        except OSError:
            self._gone()
        return number

    def _answer(self, number, seconds):
        try:
            answer = json.loads(self._line(seconds))
        except OSError:
            self._gone()
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or answer.get("to") != number:
            self._gone("it sent what nobody can read")
        return answer

    def _line(self, seconds):
        began, line = time.monotonic(), bytearray()
        end, waited = began + seconds, self.waited
        while not line.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0:
                self.waited = self.zygote.request(waited=self.pids["pid"]).get("waited", 0.0)
                # Whoever keeps all cores busy could wait for ever.
                end = began + seconds + min(self.waited - waited, 2 * seconds)
                if end <= time.monotonic():
                    raise Late
                continue
            self.channel.settimeout(left)
            with contextlib.suppress(TimeoutError):
                got = self.channel.recv(1 << 20)
                if not got or len(line) + len(got) > MOST_ANSWER:
                    raise OSError
                line += got
        return line

    def _gone(self, how=None):
        self.close()
        raise Gone(how or self.ended)

    def close(self):
        """End it; `ended` says how it ended if it had ended before."""
        if self.channel.fileno() < 0:
            return
        self.channel.close()
        gone = self.zygote.request(end=self.pids)
        if not gone:
            self.zygote.stop()
        self.ended = gone.get("how", "it crashed")
