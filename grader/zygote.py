"""The process that students' processes are forked from, warm: it runs inside the jail.

It has torch only where it is told to: forking takes half as long without.
It holds nothing worth seeing: no question, no answer, no submission. Each child closes a second
door behind itself (own processes, own scratch folder, no way back to this one) and only then is
given the first cell. It runs cells and puts questions; it says what came of them, never a verdict.

Started by `sandbox.Zygote` with the number of the control socket, and `torch` after it; imports
nothing of ours but the probe that lies beside it.
"""

import contextlib
import ctypes
import errno
import gc
import inspect
import json
import os
import random
import resource
import select
import signal
import socket
import sys
import types

import matplotlib
import numpy as np
import probe
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot, scale, ticker
from traitlets.config import Config

LINUX = sys.platform == "linux"
MOST_OUTPUT = 1_000_000  # characters of one cell's outputs that are kept
WATCH = 0.02  # seconds between two looks at how much memory is in use
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PROCESSES = 0x20000, 0x8000000, 0x10000000, 0x20000000
READ_ONLY, NO_SUID, NO_DEVICES, REMOUNT, BIND = 1, 2, 4, 32, 4096
DUMPABLE, NO_NEW_PRIVILEGES = 4, 38
NOBODY = 65534
# What no exercise needs, and ways out of jails have been found through.
DENIED = (
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree",
    "fsopen", "fsmount", "fsconfig", "fspick", "mount_setattr", "ptrace", "process_vm_readv",
    "process_vm_writev", "kcmp", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key",
    "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register", "kexec_load",
    "init_module", "finit_module", "open_by_handle_at", "name_to_handle_at", "quotactl", "swapon",
    # Memory that no process's size shows.
    "memfd_create", "memfd_secret", "shmget", "msgget", "semget", "mq_open",
)  # fmt: skip
LAST_FAMILY = socket.AF_INET6  # of sockets: beyond the internet's lie doors to the host
libc = ctypes.CDLL(None, use_errno=True)


# --- What a cell shows


class Outputs(list):
    """A cell's outputs in the notebook's format, no more than fits."""

    room = MOST_OUTPUT

    def keep(self, output, size):
        self.room -= size
        if self.room >= 0:
            self.append(output)

    def stream(self, name, text):
        kept = text[: max(0, self.room)]
        self.room -= len(text)
        if self and self[-1].get("name") == name:
            self[-1]["text"] += kept
        elif kept:
            self.append({"output_type": "stream", "name": name, "text": kept})


class Stream:
    """Stands for sys.stdout and sys.stderr."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, shell, name):
        self.shell, self.name = shell, name

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.shell.outputs.stream(self.name, text)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        pass

    def isatty(self):
        return False


def _shown(kind, data, metadata, **more):
    data = {k: v for k, v in data.items() if isinstance(v, str)}
    return {"output_type": kind, "data": data, "metadata": {}} | more, sum(map(len, data.values()))


class Publisher(DisplayPublisher):
    def publish(self, data, metadata=None, *, transient=None, update=False, **_):
        name = (transient or {}).get("display_id")
        shown, size = _shown("display_data", data, metadata, display_id=name)
        if not update:
            return self.shell.outputs.keep(shown, size)
        for output in self.shell.outputs:
            if name and output.get("display_id") == name:
                output["data"] = shown["data"]

    def clear_output(self, wait=False):
        self.shell.outputs.clear()


class Hook(DisplayHook):
    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.outputs.keep(*_shown("execute_result", format_dict, md_dict))

    def finish_displayhook(self):
        pass


class Shell(InteractiveShell):
    """IPython without a terminal and without a kernel: outputs are collected."""

    display_pub_class, displayhook_class = Publisher, Hook
    outputs = Outputs()

    def _showtraceback(self, etype, evalue, stb):
        lines = [str(line) for line in stb]
        error = {"ename": etype.__name__, "evalue": str(evalue), "traceback": lines}
        self.outputs.keep({"output_type": "error"} | error, sum(map(len, lines)))

    def init_sys_modules(self):
        self._main_mod_cache = {}
        sys.modules["__main__"] = self.user_module

    def enable_gui(self, gui=None):
        pass

    def ask_exit(self):
        pass  # a forgotten exit() is no reason to leave

    def collected(self, source):
        """Run a cell and return what it showed."""
        self.outputs = Outputs()
        # Only a cell is interrupted: an interrupt that comes too late must not end the process.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.run_cell(source, store_history=True)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return {"outputs": list(self.outputs), "count": self.execution_count - 1}


class PlainLog(scale.LogScale):
    """Logarithmic axes with the labels and ticks that are drawn in half the time."""

    name = "log"

    def set_default_locators_and_formatters(self, axis):
        axis.set_major_locator(ticker.LogLocator(self.base))
        axis.set_major_formatter(ticker.LogFormatter(self.base))
        axis.set_minor_locator(ticker.NullLocator())


def shell():
    """The shell, with all that a first plot and a first traceback load loaded already."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.xmode = "Plain"  # each line's surroundings take long to look up
    made = Shell.instance(config=config)
    sys.stdout, sys.stderr = Stream(made, "stdout"), Stream(made, "stderr")
    made.enable_matplotlib("inline")
    made.run_line_magic("config", "InlineBackend.print_figure_kwargs = {'bbox_inches': None}")
    matplotlib.rcParams["figure.dpi"] = 60
    scale.register_scale(PlainLog)
    made.run_cell(
        "import matplotlib.pyplot as plt\nplt.semilogy([1e-3, 10, 1e6], label='a')\n"
        "plt.xlabel('x'), plt.ylabel('y'), plt.legend()"
    )
    # IPython shows every figure at the end of its cell; pyplot would draw it once more before.
    pyplot.uninstall_repl_displayhook()
    made.run_cell("def f():\n    assert 1 == 2, 'x'\nf()")
    made.reset(new_session=True)
    made.outputs = Outputs()
    return made


def poison():
    """Import torch without its optimizers: they are what the exercises ask for."""
    import torch

    def refused(*_, **__):
        raise ImportError("torch.optim holds the answer: write the step yourself")

    class Refused(types.ModuleType):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            refused()

    names = [n for n in sys.modules if f"{n}.".startswith("torch.optim.")]
    for name in names:
        # Whoever finds the classes by another way finds them empty.
        for part in list(vars(sys.modules[name]).values()):
            for function in vars(part).values() if inspect.isclass(part) else [part]:
                if inspect.isfunction(function) and function.__module__ in names:
                    with contextlib.suppress(ValueError):  # a closure
                        function.__code__ = refused.__code__
    for name in names:
        sys.modules[name] = Refused(name)
    torch.optim = sys.modules["torch.optim"]


def fence():
    """The filter of system calls that every child loads, made once."""
    import pyseccomp as sc

    made = sc.SyscallFilter(sc.ALLOW)
    for name in DENIED:
        with contextlib.suppress(OSError, ValueError):  # a call that this machine does not have
            made.add_rule(sc.ERRNO(errno.EPERM), name)
    new_user = sc.Arg(0, sc.MASKED_EQ, NEW_USER, NEW_USER)
    made.add_rule(sc.ERRNO(errno.EPERM), "clone", new_user)
    made.add_rule(sc.ERRNO(errno.ENOSYS), "clone3")  # its flags are out of a filter's sight
    made.add_rule(sc.ERRNO(errno.EACCES), "socket", sc.Arg(0, sc.GT, LAST_FAMILY))
    return made


# --- The child


def enclose(about):
    """Close the second door: no other process to be seen, nothing to be written but scratch."""
    if about["jailed"]:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(about["uid"], about["uid"], about["uid"])
        _call(libc.prctl, DUMPABLE, 1, 0, 0, 0)  # or the maps below belong to root
        uid, gid = os.getuid(), os.getgid()
        _call(libc.unshare, NEW_USER | NEW_MOUNTS | NEW_IPC | NEW_PROCESSES)
        maps = {"setgroups": "deny", "uid_map": f"{uid} {uid} 1", "gid_map": f"{gid} {gid} 1"}
        # Where memory runs out, this is what the machine gives up.
        for name, text in (maps | {"oom_score_adj": "1000"}).items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        # What one student left there the next would find.
        flags = REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEVICES
        for path in b"/tmp", b"/dev":
            _call(libc.mount, None, path, None, flags, None)
        for path in (*about["masked"], "/proc"):
            _tmpfs(path, "size=4k,nr_inodes=1", READ_ONLY)
        _tmpfs("/dev/shm", "size=16m,nr_inodes=1k,mode=1777")
        _tmpfs(about["scratch"], f"size={about['disk']},nr_inodes=4k,mode=700,uid={uid},gid={gid}")
    os.chdir(about["scratch"])


def _tmpfs(path, options, flags=0):
    flags |= NO_SUID | NO_DEVICES
    _call(libc.mount, b"tmpfs", path.encode(), b"tmpfs", flags, options.encode())


def _call(function, *arguments):
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}: {os.strerror(number)}")


def confine(about, fence):
    """Give up every privilege, and take the limits."""
    for name, limit in about["limits"].items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with contextlib.suppress(OSError if not about["jailed"] else ()):  # macOS lacks some
            resource.setrlimit(getattr(resource, name), (limit, limit))
    if about["jailed"]:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        _call(libc.capset, header, (ctypes.c_uint32 * 6)())
        _call(libc.prctl, NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        fence.load()


def serve(channel, made):
    """Answer one submission's requests until its channel is closed."""
    file = socket.socket(fileno=channel).makefile("rwb")
    for line in file:
        request = json.loads(line)
        answer = answered(request, made) | {"to": request["id"]}
        file.write(json.dumps(answer).encode() + b"\n")
        file.flush()


def answered(request, made):
    if "run" in request:
        return made.collected(request["run"])
    made.outputs = Outputs()  # what is shown while questions are put, nobody keeps
    return {"answers": probe.hand_out(request["ask"], made.user_ns, request["seed"])}


def child(channel, about, made, fence):
    """Become a student's process: see nothing, hold nothing, then serve."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    channel = os.dup2(channel, 3)
    os.closerange(4, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    confine(about, fence)
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    serve(channel, made)


# --- The parent


def spawn(channel, about, made, fence):
    """Fork a child; returns its keeper's pid and its own, or the error that kept it from starting.

    The child is the first process of a namespace of its own: when it is killed, all that it
    started is. The keeper stays outside of it and only waits.
    """
    told, tell = os.pipe()
    keeper = os.fork()
    if keeper:
        os.close(tell)
        with os.fdopen(told, "rb") as file:
            said = json.loads(file.read() or '{"error": "it ended before it began"}')
        if "error" in said:
            os.waitpid(keeper, 0)
        return said
    try:
        os.setsid()
        enclose(about)
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.close(tell)
                child(channel, about, made, fence)
            os._exit(1)
        os.write(tell, json.dumps({"keeper": os.getpid(), "pid": pid}).encode())
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os._exit(status if status >= 0 else 128 - status)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(tell, json.dumps({"error": str(error)}).encode())
    finally:
        os._exit(1)


def end(student):
    """Kill a child and all that it started, wait until they are gone; says how it had ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(student["pid"], signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(student["keeper"], 0)[1])
    if student.get("greedy"):
        return {"how": "it used too much memory"}
    if code == 128 + signal.SIGXCPU:
        return {"how": "it used too much of the processor"}
    return {"how": "it crashed" if code > 128 else "it left"}


def private(pid):
    """Bytes of a process's memory that are no file's; 0 where it cannot be told."""
    try:
        with open(f"/proc/{pid}/status") as file:
            sizes = [line.split()[1] for line in file if line.startswith(("RssAnon", "RssShmem"))]
        return 1024 * sum(map(int, sizes))
    except (OSError, ValueError, IndexError):
        return 0


def in_use(student):
    """Bytes of memory that all of a student's processes have beyond what they started with."""
    ours = {1, os.getpid(), student["keeper"]}
    theirs = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in ours]
    start = private("self")
    return sum(max(0, private(pid) - start) for pid in theirs)


def watch(student, memory):
    """Kill a child whose processes hold more memory than all together may."""
    if not student.get("greedy") and in_use(student) > memory:
        student["greedy"] = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(student["pid"], signal.SIGKILL)


def waited(pid):
    """Seconds that a process was ready to run but had no core."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def main():
    control = socket.socket(fileno=int(sys.argv[1]))
    made = shell()
    if "torch" in sys.argv:
        poison()
    filter_ = fence() if LINUX else None
    if LINUX:
        _call(libc.prctl, DUMPABLE, 0, 0, 0, 0)
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that it marks
    control.send(b"ready")
    student = about = None
    while True:
        watching = student and about["jailed"]
        if not select.select([control], [], [], WATCH if watching else None)[0]:
            watch(student, about["memory"])
            continue
        said, fds, _, _ = socket.recv_fds(control, 65536, 1)
        if not said:
            return
        request, answer = json.loads(said), {}
        if "spawn" in request:
            about = request["spawn"]
            answer = student = spawn(fds[0], about, made, filter_)
            os.close(fds[0])
        elif "interrupt" in request:
            with contextlib.suppress(ProcessLookupError):
                os.kill(request["interrupt"], signal.SIGINT)
            answer = {"sent": True}
        elif "waited" in request:
            answer = {"waited": waited(request["waited"])}
        elif "end" in request:
            answer, student = end(student), None
        control.send(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
