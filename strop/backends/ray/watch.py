"""Ends what a killed run leaves behind: `python watch.py FOLDER`, with a pipe from the run as its input.

Ray's daemons notice by themselves that the process which started them is gone, but some of them take a minute over it,
and nobody removes their folder. This file is run by its path and imports nothing but the standard library.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def watched(folder: Path) -> Generator[None, None, None]:
    """Within the block somebody waits for the end of this process, to end whatever has files open in `folder` then."""
    watcher = subprocess.Popen(
        [sys.executable, "-I", __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C in a terminal goes to everybody of one group
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            watcher.communicate(b"well")


def watch(folder: Path) -> None:
    """Wait until the pipe is closed; where nothing was said before, the run was killed."""
    if sys.stdin.buffer.read():
        return
    for _ in range(50):
        if not (found := users(folder)):
            break
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


def users(folder: Path) -> list[int]:
    """Processes that have a file open in there; none where there is no /proc."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if any(Path(os.readlink(file)).is_relative_to(folder) for file in (entry / "fd").iterdir()):
                found.append(int(entry.name))
    return found


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
