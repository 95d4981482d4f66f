"""Process 1 of the sandbox: starts the script under its limits, watches it, and hands back what it wrote.

Runs as `python -I -S -c TEXT`, so it imports the standard library alone and nothing of strop. It reads its orders (a
line of JSON, then the script and the files) from stdin, and answers on a pipe of its own, which the script never has: a
line `{"started": true}`, at the end a line with status, reason and the names and sizes of the files, then their bytes.

As process 1 it cannot be ended or stopped from inside its namespace, and when it ends, the kernel ends all others
there. Without a sandbox it is an ordinary process and only ends the script's own process group.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import stat
import sys
import time
from typing import Any

POLL = 0.05


def main() -> None:
    orders = json.loads(sys.stdin.buffer.readline())
    limits, channel = orders["limits"], orders["channel"]
    alone = os.getpid() == 1
    os.set_inheritable(channel, False)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if orders["user"] is not None:
        os.setgroups([])
        os.setresgid(*[orders["user"]] * 3)
        os.setresuid(*[orders["user"]] * 3)
    if alone:
        libc = ctypes.CDLL(None)
        # changing the user has switched this off: with the caller gone, nothing here may go on
        libc.prctl(1, signal.SIGKILL)
        # not dumpable: the script, the same user, may not open this process's memory
        libc.prctl(4, 0)
    os.chdir(orders["folder"])
    for folder in ("in", "out", "tmp"):
        os.mkdir(folder)
    for name, size in orders["files"]:
        with open(name, "wb") as file:
            file.write(sys.stdin.buffer.read(size))
    send(channel, b'{"started": true}\n')
    child = start(orders, alone)
    code, stopped = watch(child, channel, limits)
    end_all(child, alone)
    found = [] if stopped == "gone" else outputs(limits)
    listing = [[name, len(data)] for name, data in found]
    send(channel, json.dumps({"status": code, "stopped": stopped, "files": listing}).encode() + b"\n")
    for _, data in found:
        send(channel, data)


def start(orders: dict[str, Any], alone: bool) -> int:
    """The script as a process of its own, under limits it cannot raise."""
    limits = orders["limits"]
    caps = {
        resource.RLIMIT_AS: limits["memory"] // limits["processes"],
        resource.RLIMIT_CPU: limits["cpu"],
        resource.RLIMIT_FSIZE: limits["disk"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if alone:
        # counts this process too; outside a sandbox it would count everything else its user runs
        caps[resource.RLIMIT_NPROC] = limits["processes"] + 1
        caps[resource.RLIMIT_MSGQUEUE] = caps[resource.RLIMIT_MEMLOCK] = 0
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for kind, most in caps.items():
            # who has spent its time gets a signal that says so, and who goes on is killed a second later
            resource.setrlimit(kind, (most, most + (kind == resource.RLIMIT_CPU)))
        folder = os.getcwd()
        settings = {"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder + "/tmp", "LANG": "C.UTF-8"}
        settings |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        os.execve(orders["python"], [orders["python"], "-I", "-B", "script.py"], settings)
    except OSError as error:
        os.write(2, f"cannot start: {error}".encode())
    finally:
        os._exit(127)


def watch(child: int, channel: int, limits: dict[str, Any]) -> tuple[int | None, str]:
    """Wait for the script; its exit status (a negative signal where one ended it), and why it was stopped."""
    last = time.monotonic() + limits["seconds"]
    hangup = select.poll()
    hangup.register(channel, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        # orphans become children of process 1: each is reaped, only the script's own end counts
        while True:
            try:
                done, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None, "gone"
            if done == child:
                code = os.waitstatus_to_exitcode(status)
                return code, "cpu" if code == -signal.SIGXCPU else ""
            if not done:
                break
        if time.monotonic() > last:
            return None, "time"
        space = os.statvfs(".")
        # every empty file is memory of the kernel that no limit counts
        if os.getpid() == 1 and space.f_files - space.f_ffree > limits["files"] + 1000:
            return None, "files"
        if hangup.poll(0):
            return None, "gone"
        signal.sigtimedwait({signal.SIGCHLD}, POLL)


def end_all(child: int, alone: bool) -> None:
    """End whatever still runs."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if alone:
            os.kill(-1, signal.SIGKILL)  # everything in its namespace but itself
        else:
            os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def outputs(limits: dict[str, Any]) -> list[tuple[str, bytes]]:
    """The regular files directly in `out`, by name, as far as the limits go; links and folders are left out."""
    found, left = [], limits["disk"]
    try:
        names = sorted(name for name in os.listdir("out") if name.isprintable() and len(name) <= 200)
    except OSError:
        return []
    for name in names[: limits["files"]]:
        try:
            file = os.open("out/" + name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            status = os.fstat(file)
            if stat.S_ISREG(status.st_mode) and status.st_size <= left:
                with os.fdopen(file, "rb", closefd=False) as handle:
                    data = handle.read(left)
                found.append((name, data))
                left -= len(data)
        except (OSError, MemoryError):
            pass
        finally:
            os.close(file)
    return found


def send(channel: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(channel, view) :]


if __name__ == "__main__":
    main()
