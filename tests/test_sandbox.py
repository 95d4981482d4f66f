"""What hostile code can do in the sandbox: nothing. Where there is no sandbox, the refusal alone is tested."""

import errno
import platform
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop import sandbox
from strop.errors import SandboxError
from strop.sandbox import Finished, Limits, _run, _syscalls


def missing():
    try:
        sandbox.require()
    except SandboxError as error:
        return str(error)
    return ""


WHY = missing()
sandboxed = pytest.mark.skipif(bool(WHY), reason=WHY)
TRY = """
    import ctypes, os, sys
    def refused(action):
        try:
            action()
        except (OSError, MemoryError) as error:
            return getattr(error, "errno", None) or -1
        return 0
"""


def run(script, limits=None, files=None):
    """The script, after a helper that says with what error an action was refused."""
    return sandbox.run_python(textwrap.dedent(TRY) + textwrap.dedent(script), files, limits or Limits(seconds=60))


def printed(done):
    assert done.status == 0, done.stderr
    return done.stdout.split()


@sandboxed
def test_a_script_reads_its_files_and_hands_back_what_it_wrote():
    script = """
        data = open("in/a.bin", "rb").read()
        open("out/twice.bin", "wb").write(data * 2)
        print(len(data)); print("odd", file=sys.stderr); sys.exit(3)
    """
    assert run(script, files={"a.bin": b"\0\xff"}) == Finished(3, "2\n", "odd\n", {"twice.bin": b"\0\xff\0\xff"})


@sandboxed
def test_nothing_of_the_caller_can_be_read(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("42")
    secret.chmod(0o644)
    monkeypatch.setenv("API_KEY", "swordfish")
    paths = [str(secret), "/etc/passwd", "/etc/shadow", "/proc/1/environ", str(Path(__file__))]
    script = f"""
        for path in {paths!r}:
            print(refused(lambda: open(path).read()))
        print("swordfish" in repr(os.environ), os.path.exists({str(tmp_path)!r}), os.path.exists("/var"))
        print(os.getppid() == 1, sys.stdin.read() == "")
    """
    assert printed(run(script)) == [*[str(errno.ENOENT)] * len(paths), "False", "False", "False", "True", "True"]


@sandboxed
def test_nothing_outside_its_folder_can_be_written(tmp_path):
    paths = ["/x", "/usr/x", "/dev/x", "/dev/shm/x", "/etc/x", f"{sys.prefix}/x", f"{tmp_path}/x"]
    script = f"""
        print(all(refused(lambda: open(path, "w").write("x")) for path in {paths!r}))
        print(all(refused(lambda: os.remove(path)) for path in ["/usr/bin/env", sys.executable]))
    """
    assert printed(run(script)) == ["True", "True"]
    assert not list(tmp_path.iterdir())
    assert not (Path(sys.prefix) / "x").exists()


@sandboxed
def test_no_network_of_any_family():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"""
            import socket
            print(refused(lambda: socket.create_connection(("127.0.0.1", {port}), timeout=5)))
            # unix, internet, internet 6, netlink, packet, VSOCK
            print({{refused(lambda: socket.socket(family, socket.SOCK_DGRAM)) for family in (1, 2, 10, 16, 17, 40)}})
        """
        assert printed(run(script)) == [str(errno.EPERM), f"{{{errno.EPERM}}}"]


@sandboxed
def test_without_the_filter_there_is_still_no_network(monkeypatch):
    nothing = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
    monkeypatch.setattr(_syscalls, "program", lambda machine: nothing)
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = f"""
            import socket
            print(refused(lambda: socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), timeout=5)))
            print(refused(lambda: socket.create_connection(("192.0.2.1", 80), timeout=5)))
        """
        assert printed(run(script)) == [str(errno.ECONNREFUSED), str(errno.ENETUNREACH)]


@sandboxed
@pytest.mark.parametrize("processes", [1, 4])
def test_forks_end_at_the_limit(processes):
    script = """
        import time
        made = 0
        while True:
            try:
                child = os.fork()
            except OSError:
                break
            if child == 0:
                time.sleep(60)
            made += 1
        print(made)
    """
    began = time.monotonic()
    assert printed(run(script, Limits(seconds=60, processes=processes, memory=1 << 30))) == [str(processes - 1)]
    assert time.monotonic() - began < 50, "the children outlived the script"


@sandboxed
def test_a_fork_bomb_ends_with_its_time():
    script = "while True:\n    refused(os.fork)"
    done = run(script, Limits(seconds=1, processes=8))
    assert (done.status, done.stopped) == (None, "time")


@sandboxed
def test_memory_is_bounded():
    script = """
        import mmap
        print(refused(lambda: bytearray(300 << 20)) != 0)
        print(refused(lambda: mmap.mmap(-1, 300 << 20)) != 0)
        print(refused(lambda: os.memfd_create("x")))
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.shmget(0, 1 << 20, 0o1600), ctypes.get_errno())
        print(len(bytearray(20 << 20)))
    """
    actual = printed(run(script, Limits(seconds=60, memory=256 << 20)))
    assert actual == ["True", "True", str(errno.EPERM), "-1", str(errno.EPERM), str(20 << 20)]


@sandboxed
def test_disk_is_bounded_over_all_files():
    script = """
        import errno
        written = 0
        for number in range(64):
            try:
                with open(f"{'out' if number % 2 else 'tmp'}/{number}", "wb", buffering=0) as file:
                    while chunk := file.write(b"x" * 65536):
                        written += chunk
                        if file.tell() >= 1 << 20:
                            break
            except OSError as error:
                print(error.errno == errno.ENOSPC, written <= 4 << 20, written > 3 << 20)
                break
    """
    done = run(script, Limits(seconds=60, disk=4 << 20))
    assert printed(done) == ["True", "True", "True"]
    assert sum(map(len, done.files.values())) <= 4 << 20


@sandboxed
def test_empty_files_without_end_are_stopped():
    script = 'for n in range(10**9):\n    open(f"tmp/{n}", "w").close()'
    done = run(script, Limits(seconds=60, cpu=60, files=10))
    assert done.stopped == "files"


@sandboxed
def test_the_clock_ends_it_and_all_it_started():
    began = time.monotonic()
    script = "import time\nos.fork()\ntime.sleep(100)"
    done = run(script, Limits(seconds=0.5, processes=3))
    assert (done.status, done.stopped) == (None, "time")
    assert time.monotonic() - began < 60


@sandboxed
def test_what_leaves_its_session_does_not_outlive_it():
    script = """
        import time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(100)
            os._exit(0)
        open("out/done", "w").close()
    """
    began = time.monotonic()
    done = run(script, Limits(seconds=90, processes=4))
    assert (done.status, list(done.files)) == (0, ["done"])
    assert time.monotonic() - began < 60


@sandboxed
def test_processor_time_is_bounded():
    done = run("while True: pass", Limits(seconds=120, cpu=1))
    assert (done.status, done.stopped) == (-signal.SIGXCPU, "cpu")
    done = run("import signal\nsignal.signal(signal.SIGXCPU, lambda *_: None)\nwhile True: pass", Limits(120, 1))
    assert (done.status, done.stopped) == (-signal.SIGKILL, "")


@sandboxed
def test_output_is_bounded():
    script = "for _ in range(500):\n    print('x' * 9999); print('y' * 9999, file=sys.stderr)"
    done = run(script, Limits(seconds=60, output=1000))
    assert (done.stdout, done.stderr) == ("x" * 1000, "y" * 1000)


@sandboxed
def test_only_plain_files_come_back():
    script = """
        os.symlink("/etc/passwd", "out/link"); os.symlink("../script.py", "out/near"); os.mkfifo("out/pipe")
        os.mkdir("out/folder"); open("out/folder/deep", "w").write("x"); open("out/plain", "w").write("x")
        open(b"out/\\xff", "w").write("x"); open("out/a\\nb", "w").write("x"); open("out/" + "n" * 255, "w").write("x")
        os.link("script.py", "out/hard")
    """
    assert sorted(run(script).files) == ["hard", "plain"]


@sandboxed
def test_process_1_cannot_be_ended_stopped_or_spoken_for():
    script = """
        import signal
        for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT):
            os.kill(1, number)
        forged = sum(refused(lambda: os.write(fd, b'{"status": 7, "stopped": "", "files": []}')) == 0
                     for fd in range(3, 64))
        print(forged, refused(lambda: os.setuid(0)), refused(lambda: os.chroot("/box")))
        libc = ctypes.CDLL(None, use_errno=True)
        for flags in (0x10000000, 0x40000000, 0x20000):
            print(libc.unshare(flags), ctypes.get_errno())
        print(libc.ptrace(16, 1, 0, 0), libc.mount(b"none", b"/box", b"tmpfs", 0, None))
        sys.exit(5)
    """
    done = run(script)
    eperm = str(errno.EPERM)
    assert (done.status, done.stopped) == (5, ""), done
    assert done.stdout.split() == ["0", eperm, eperm, *["-1", eperm] * 3, "-1", "-1"]


def descendants(pid):
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


@sandboxed
def test_nothing_goes_on_when_the_caller_is_killed():
    code = "from strop.sandbox import Limits, run_python\nrun_python('import time; time.sleep(200)', {}, Limits(300))"
    caller = subprocess.Popen([sys.executable, "-c", code])
    last = time.monotonic() + 60
    # bwrap, process 1 and the script
    while len(inside := descendants(caller.pid)) < 3 and time.monotonic() < last:
        time.sleep(0.05)
    caller.kill()
    caller.wait()
    assert len(inside) >= 3
    while (left := [pid for pid in inside if alive(pid)]) and time.monotonic() < last:
        time.sleep(0.05)
    assert not left


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Puts another `bwrap`, or none, first and only on the path."""

    def put(text):
        if text:
            (tmp_path / "bwrap").write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / "bwrap").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    def forget():
        sandbox.require.cache_clear()
        _run._require_bwrap.cache_clear()

    forget()
    yield put
    forget()


FORBIDDEN = """
if [ "$1" = --version ]; then echo bubblewrap 0.8.0; exit; fi
echo "No permissions to create new namespace" >&2; exit 1
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "bwrap is not installed"),
        ("echo bubblewrap 0.6.1", "0.7 or later is needed, this is bubblewrap 0.6.1"),
        (FORBIDDEN, "No permissions to create new namespace"),
    ],
    ids=["absent", "too old", "forbidden"],
)
def test_without_a_sandbox_nothing_runs(text, says, command, tmp_path):
    command(text)
    witness = tmp_path / "ran"
    for call in (sandbox.require, lambda: sandbox.run_python(f"open({str(witness)!r}, 'w')")):
        with pytest.raises(SandboxError, match="--allow-unsandboxed") as error:
            call()
        if platform.machine() in ("x86_64", "aarch64") or text is not FORBIDDEN:
            assert says in str(error.value)
    assert not witness.exists()


def test_unsandboxed_only_where_asked(command, monkeypatch):
    command("")
    monkeypatch.setenv("API_KEY", "swordfish")
    script = "import os\nopen('out/a', 'w').write(open('in/b').read())\nprint('API_KEY' in os.environ)"
    done = sandbox.run_python(script, {"b": b"7"}, Limits(seconds=60), unsandboxed=True)
    assert done == Finished(0, "False\n", "", {"a": b"7"})
    done = sandbox.run_python("import time\ntime.sleep(100)", {}, Limits(seconds=0.5), unsandboxed=True)
    assert (done.status, done.stopped) == (None, "time")


def test_names_and_limits_are_checked():
    for name in ("../x", "a/b", "", ".hidden", "x" * 101, "a\n"):
        with pytest.raises(SandboxError, match="A file's name"):
            sandbox.run_python("", {name: b""})
    with pytest.raises(SandboxError, match=r"Limits\.memory: at least 33554432, got 1"):
        Limits(memory=1)
    with pytest.raises(SandboxError, match=r"larger than Limits\.disk"):
        sandbox.run_python("", {"a": bytes(70_000)}, Limits(disk=1 << 16))


@given(st.binary() | st.sampled_from([b'{"status":0,"stopped":"","files":[["../x",1]]}\nx', b"[" * 90_000]))
def test_an_answer_that_makes_no_sense_counts_as_none(answer):
    assert _run._read(answer, "", "") == Finished(None, "", "", {}, "gone")


def test_an_answer_is_taken_apart_by_its_sizes():
    answer = b'{"status":-9,"stopped":"time","files":[["a",2],["b",0]]}\nxy'
    assert _run._read(answer, "o", "e") == Finished(-9, "o", "e", {"a": b"xy", "b": b""}, "time")


@sandboxed
def test_the_script_is_never_root():
    script = "print(os.getuid() != 0, os.geteuid() == os.getuid(), os.getgroups() in ([], [os.getgid()]))"
    assert printed(run(script)) == ["True"] * 3
