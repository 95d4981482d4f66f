"""The side of the sandbox that is trusted: starts it, reads what comes out, and believes none of it."""

import dataclasses
import functools
import json
import os
import random
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from strop.errors import SandboxError
from strop.sandbox import _syscalls

Stopped = Literal["", "time", "cpu", "files", "gone"]
_FOLDER = "/box"
_OLDEST = (0, 7)
"""First bubblewrap that bounds the size of a tmpfs."""
_GRACE = 10.0
"""Seconds beyond the script's own that starting and collecting may take before everything is ended from outside."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a script may use. A script beyond a limit fails or is ended; it costs nobody else anything."""

    seconds: float = 10.0
    """Wall-clock time."""
    cpu: int = 10
    """Processor time of each process, seconds; one that does not end then is killed a second later."""
    memory: int = 1 << 30
    """Address space of all processes together, bytes; each may take an equal share. Files count apart, in `disk`."""
    disk: int = 64 << 20
    """All files together, the given ones too, bytes; they live in memory and never on a disk."""
    files: int = 100
    """Files handed back."""
    processes: int = 1
    """Processes and threads; with 1 the script can start neither."""
    output: int = 64 << 10
    """Bytes kept of stdout, and of stderr; the rest is read and dropped."""

    def __post_init__(self) -> None:
        for name, least in (("seconds", 0.01), ("cpu", 1), ("memory", 32 << 20), ("disk", 1 << 16), ("processes", 1)):
            if getattr(self, name) < least:
                raise SandboxError(f"Limits.{name}: at least {least}, got {getattr(self, name)}.")
        if self.files < 0 or self.output < 0:
            raise SandboxError(f"Limits.files and Limits.output: at least 0, got {self.files} and {self.output}.")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a script did. All of it is hostile input: bounded in size, nothing else is known of it."""

    status: int | None
    """Exit status; a negative number is the signal that ended it, None that it was stopped."""
    stdout: str
    stderr: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What it left directly in the folder `out`, by name; links and sub-folders are left out."""
    stopped: Stopped = ""
    """The limit that ended it: `time`, `cpu`, `files` (too many); `gone` where it never got so far as to say."""


def run_python(
    script: str, files: Mapping[str, bytes] | None = None, limits: Limits | None = None, *, unsandboxed: bool = False
) -> Finished:
    """Run a Python script in the folder of a sandbox: it reads `in/NAME` and writes `out/NAME`.

    It has this interpreter's packages and no arguments, stdin or network. With `unsandboxed` it is an ordinary process
    of the caller's user in a temporary folder, with limits of time and size alone: only for code that somebody trusts.
    Raises `SandboxError` where there is no sandbox; whatever the script does is in what it returns.
    """
    limits = limits or Limits()
    given = {"script.py": script.encode("utf-8", "replace")}
    for name, data in (files or {}).items():
        if not _NAME.fullmatch(name):
            raise SandboxError(f"A file's name is letters, digits, '.', '_' and '-', at most 100; got {name!r}.")
        given[f"in/{name}"] = data
    if sum(map(len, given.values())) > limits.disk:
        raise SandboxError(f"The script and its files are larger than Limits.disk = {limits.disk} bytes.")
    if unsandboxed:
        with tempfile.TemporaryDirectory(prefix="strop-") as folder:
            finished, said = _start([], folder, None, given, limits)
    else:
        _require_bwrap()
        # a user of its own, so that limits count nobody else's processes; far above what systems hand out
        user = random.SystemRandom().randrange(1_900_000_000, 2_100_000_000) if os.geteuid() == 0 else None
        with tempfile.TemporaryFile() as program:
            program.write(_syscalls.program(_syscalls.machine()))
            program.seek(0)
            command = _bwrap(limits, program.fileno())
            finished, said = _start(command, _FOLDER, user, given, limits, (program.fileno(),))
    if finished is None:
        raise SandboxError(_refusal(f"it does not start: {said or 'no reason given'}"))
    return finished


@functools.cache
def require() -> None:
    """Raise `SandboxError` with the reason where scripts cannot be run safely; tries once for each process."""
    done = run_python("print(6 * 7)")
    if done.stdout != "42\n":
        raise SandboxError(_refusal(f"a trial run ended with {done.status}: {done.stderr.strip()[-300:]}"))


def _refusal(reason: str) -> str:
    return (
        f"Code that a model wrote runs in a sandbox alone, and there is none here: {reason}. "
        "On Debian or Ubuntu: sudo apt install bubblewrap. To run such code without one, with all you may do yourself: "
        "--allow-unsandboxed."
    )


@functools.cache
def _require_bwrap() -> None:
    if shutil.which("bwrap") is None:
        raise SandboxError(_refusal("bwrap is not installed"))
    said = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=False).stdout
    numbers = tuple(map(int, re.findall(r"\d+", said)[:2]))
    if numbers < _OLDEST:
        raise SandboxError(_refusal(f"bubblewrap 0.7 or later is needed, this is {said.strip() or 'unknown'}"))
    if not _syscalls.machine():
        raise SandboxError(_refusal("the list of refused system calls is for x86-64 and 64-bit ARM alone"))


def _bwrap(limits: Limits, program: int) -> list[str]:
    """The command line up to the interpreter: what exists inside, and nothing else does."""
    words = ["bwrap", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--hostname", "box"]
    words += [f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts", "cgroup-try")]
    # root makes namespaces by itself, and gives up its rights inside, where it becomes another user
    words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if os.geteuid() == 0 else ["--unshare-user"]
    words += ["--ro-bind", "/usr", "/usr"]
    for path in map(Path, ("/bin", "/sbin", "/lib", "/lib64")):
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    # empty folders on the way to something: bwrap would make them for their owner alone
    words += ["--perms", "0755", "--dir", "/etc", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    homes = {Path(each) for each in (sys.prefix, sys.base_prefix, Path(sys.executable).resolve().parents[1])}
    for home in sorted(home for home in homes if not home.is_relative_to("/usr")):
        for above in [*home.parents][-2::-1]:
            words += ["--perms", "0755", "--dir", str(above)]
        words += ["--ro-bind", str(home), str(home)]
    words += ["--dev", "/dev", "--perms", "0777", "--size", str(limits.disk), "--tmpfs", _FOLDER]
    # bwrap's own root and /dev are file systems in memory without a bound
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--seccomp", str(program), "--"]


def _start(
    command: Sequence[str],
    folder: str,
    user: int | None,
    given: Mapping[str, bytes],
    limits: Limits,
    descriptors: tuple[int, ...] = (),
) -> tuple[Finished | None, str]:
    """Run the guard; what came of it, or None and what was said where it did not even start."""
    read, write = os.pipe()
    orders: dict[str, Any] = {
        "limits": dataclasses.asdict(limits), "channel": write, "folder": folder, "user": user,
        "python": sys.executable, "files": [[name, len(data)] for name, data in given.items()],
    }  # fmt: skip
    guard = (Path(__file__).parent / "_guard.py").read_text(encoding="utf-8")
    try:
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(orders).encode() + b"\n" + b"".join(given.values()))
            stdin.seek(0)
            process = subprocess.Popen(
                [*command, sys.executable, "-I", "-S", "-B", "-c", guard],
                stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(write, *descriptors),
                env={"PATH": os.environ.get("PATH", os.defpath)}, cwd="/",
            )  # fmt: skip
    except OSError as error:
        os.close(read)
        return None, str(error)
    finally:
        os.close(write)
    assert process.stdout is not None
    assert process.stderr is not None
    most = {read: limits.disk + limits.files * 1000 + 10_000}
    most |= {process.stdout.fileno(): limits.output, process.stderr.fileno(): max(limits.output, 2000)}
    try:
        kept = _listen(process, most, time.monotonic() + limits.seconds + _GRACE)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            stream.close()
        os.close(read)
    answer, stdout, stderr = (bytes(each) for each in kept)
    started, _, rest = answer.partition(b"\n")
    said = stderr.decode("utf-8", "replace")
    if started != b'{"started": true}':
        return None, " ".join(said.split())[-300:]
    return _read(rest, stdout.decode("utf-8", "replace"), said[: limits.output]), ""


def _listen(process: "subprocess.Popen[bytes]", most: Mapping[int, int], last: float) -> list[bytearray]:
    """The beginning of each stream, until all are closed or the time is over; what is too much is read and dropped."""
    kept = {stream: bytearray() for stream in most}
    ended = False
    with selectors.DefaultSelector() as selector:
        for stream in most:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = last - time.monotonic()
            if left <= 0 and not ended:
                process.kill()
                # its streams close when the kernel has ended everything inside
                ended, last = True, time.monotonic() + _GRACE
            elif left <= 0:
                break
            for ready, _ in selector.select(max(0.0, min(left, 1.0))):
                data = os.read(ready.fd, 1 << 16)
                if not data:
                    selector.unregister(ready.fd)
                kept[ready.fd] += data[: most[ready.fd] - len(kept[ready.fd])]
    return list(kept.values())


def _read(answer: bytes, stdout: str, stderr: str) -> Finished:
    """Take the guard's last answer apart; whatever does not look like one counts as none."""
    head, _, body = answer.partition(b"\n")
    try:
        said = json.loads(head)
        status, stopped, listing = said["status"], said["stopped"], said["files"]
        if not (status is None or type(status) is int) or stopped not in get_args(Stopped):
            raise ValueError(status)
        files: dict[str, bytes] = {}
        for name, size in listing:
            if not isinstance(name, str) or "/" in name or name in (".", "..") or not 0 <= size <= len(body):
                raise ValueError(name)
            files[name], body = body[:size], body[size:]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Finished(None, stdout, stderr, {}, "gone")
    return Finished(status, stdout, stderr, files, stopped)
