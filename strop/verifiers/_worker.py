"""The process that judges answers for `JudgePool`. It may hang or die; the pool replaces it."""

import contextlib
import os
import pickle
import resource
import signal
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from strop.errors import StropError
from strop.records import Verdict

ORPHAN_GRACE = 2.0
"""Seconds past the limit after which a worker whose pool is gone ends itself."""


def serve(handle: int) -> None:
    """Load the verifier, say so, then answer requests until the pool hangs up."""
    with Connection(handle) as pool:
        try:
            verify, seconds = _load(*pool.recv())
        except StropError as error:
            pool.send(str(error))
            return
        except BaseException:
            pool.send(traceback.format_exc(limit=-3))
            return
        # parsers complain about hostile answers on stderr: that is not news for whoever watches a run
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        pool.send(None)
        with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
            while True:
                pairs = pool.recv()
                # the kernel ends this process even if a C routine never comes back and the pool has died
                signal.setitimer(signal.ITIMER_REAL, seconds + ORPHAN_GRACE)
                pool.send(_judge_all(verify, pairs))
                signal.setitimer(signal.ITIMER_REAL, 0)


def judge_here(verify: Any, response: str, problem: Any) -> Verdict:
    """The verdict, in this process; whatever goes wrong is a verdict too."""
    try:
        verdict = verify(response, problem)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Verdict("error", detail=_describe(error))
    if not isinstance(verdict, Verdict):
        return Verdict("error", detail=f"{type(verify).__name__} returned a {type(verdict).__name__}, not a Verdict")
    return verdict


def _judge_all(verify: Any, pairs: Sequence[tuple[str, Any]]) -> list[Verdict]:
    """Verdicts in order: all at once where the verifier can do that and nothing goes wrong, else one by one."""
    if len(pairs) > 1:
        with contextlib.suppress(Exception):
            verdicts = verify.many(pairs)
            if len(verdicts) == len(pairs) and all(isinstance(verdict, Verdict) for verdict in verdicts):
                return list(verdicts)
    return [judge_here(verify, response, problem) for response, problem in pairs]


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except Exception:  # an exception may carry a value that cannot be printed
        return type(error).__name__


def _load(files: list[str], pickled: bytes, seconds: float, memory: int) -> tuple[Any, float]:
    from strop import catalogue

    for file in files:
        catalogue.load_file(file)
    verify = pickle.loads(pickled)
    warm = getattr(getattr(verify, "__self__", verify), "warm", None)
    if warm is not None:
        warm()
    # not the address space: libraries reserve much more of it than they use; a model it holds is no answer's fault
    memory += _held() if hasattr(verify, "many") else 0
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return verify, seconds


def _held() -> int:
    """Bytes of data this process has now; 0 where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
    except (OSError, StopIteration, ValueError):
        return 0
