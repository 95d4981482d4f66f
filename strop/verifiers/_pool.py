"""Judging in worker processes with a hard limit, while something else runs.

A hostile answer costs its own row: a hang is ended after `seconds` and becomes the verdict `timeout`, a crash or an
exception becomes `error`, and the worker is replaced. Nothing ever becomes a silent zero.
"""

import inspect
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from multiprocessing.connection import Pipe
from typing import Any

from strop.errors import VerifierError
from strop.records import Problem, Verdict
from strop.verifiers._worker import judge_here

START_SECONDS = 120.0
"""How long a worker may take to import its verifier."""
USER_MODULE = "strop_user_"
"""How the catalogue names modules that it loaded from a user's file; workers load the same file."""


_Job = tuple[Hashable, str, Problem]


class JudgePool:
    """Judges answers as they are submitted; `results` gives the verdicts in the order in which they finish.

    A verifier that says `isolate` runs in `workers` processes, started at the first answer; any other runs in process,
    at `submit`. `seconds` defaults to the verifier's own field of that name, or 5. A verifier may have a `warm()`: each
    worker calls it before the first answer, so that imports do not count against the limit. One that isolates and has a
    `many` is given up to `batch` of the answers that wait; where these get no verdicts in time, each is judged alone.

    >>> from strop.verifiers.exact import Exact
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> with JudgePool(Exact()) as pool:
    ...     pool.submit("first", "5", problem)
    ...     pool.submit("second", "6", problem)
    ...     [(tag, verdict.outcome) for tag, verdict in pool.results()]
    [('first', 'right'), ('second', 'wrong')]
    """

    def __init__(
        self,
        verify: Callable[[str, Problem], Verdict],
        workers: int = 2,
        seconds: float | None = None,
        memory_gb: float = 4.0,
    ) -> None:
        if workers < 1:
            raise VerifierError(f"A judge pool needs at least 1 worker, got {workers}.")
        self._verify = verify
        says = getattr(verify, "__self__", verify)  # of a task's `verify` it is the task that says what it needs
        self._isolate = bool(getattr(says, "isolate", False))
        self._workers = workers
        self._seconds = float(getattr(says, "seconds", 5.0) if seconds is None else seconds)
        self._memory = int(memory_gb * 2**30)
        self._batch = int(getattr(says, "batch", 1)) if hasattr(says, "many") else 1
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Hashable, Verdict] | VerifierError] = queue.SimpleQueue()
        self._open = 0
        self._error: VerifierError | None = None
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def submit(self, tag: Hashable, response: str, problem: Problem) -> None:
        """Queue one answer; `tag` comes back with its verdict."""
        if self._closed.is_set():
            raise VerifierError("This judge pool is closed: submit inside its `with` block.")
        self._open += 1
        if not self._isolate:
            self._done.put((tag, judge_here(self._verify, response, problem)))
            return
        self._jobs.put((tag, response, problem))
        # another worker only where there is work for it: a model takes a while to load
        if len(self._threads) < min(self._workers, -(-self._open // self._batch)):
            # daemon: an interpreter that exits without closing the pool must not wait for it
            thread = threading.Thread(target=self._feed, name="strop-judge", daemon=True)
            self._threads.append(thread)
            thread.start()

    def results(self) -> Iterator[tuple[Any, Verdict]]:
        """Wait for everything submitted so far: each tag with its verdict, as they finish."""
        while self._open:
            if self._error is not None:
                raise self._error
            done = self._done.get()
            if isinstance(done, VerifierError):
                self._error = done
                continue
            self._open -= 1
            yield done

    def close(self) -> None:
        """End the workers; answers that are still open get no verdict."""
        self._closed.set()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def __enter__(self) -> "JudgePool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> list[_Job]:
        """The answers to judge together: those that wait, at most a batch; none where the pool is to end."""
        jobs: list[_Job] = []
        while len(jobs) < self._batch:
            try:
                job = self._jobs.get(block=not jobs)
            except queue.Empty:
                break
            if job is None:
                if jobs:
                    self._jobs.put(None)  # the end comes after these
                break
            jobs.append(job)
        return jobs

    def _feed(self) -> None:
        """One thread for each worker: hand over answers, wait for verdicts, replace the worker if it is lost."""
        worker: _Worker | None = None
        try:
            while (jobs := self._next()) and not self._closed.is_set():
                waiting = [jobs]
                while waiting:
                    part = waiting.pop()
                    if worker is None:
                        worker = _Worker(self._verify, self._seconds, self._memory)
                    verdicts = worker.judge([job[1:] for job in part], self._closed)
                    if not worker.alive:
                        worker.end()
                        worker = None
                        if len(part) > 1 and not self._closed.is_set():
                            # one of them did it: alone, each hurts itself only
                            waiting += [[job] for job in reversed(part)]
                            continue
                    for (tag, *_), verdict in zip(part, verdicts, strict=True):
                        self._done.put((tag, verdict))
        except VerifierError as error:
            self._done.put(error)
        finally:
            if worker is not None:
                worker.end()


class _Worker:
    """A process that judges; a fresh interpreter, so neither threads nor an unguarded main script can hurt it."""

    def __init__(self, verify: Callable[[str, Problem], Verdict], seconds: float, memory: int) -> None:
        self.seconds = seconds
        self.alive = True
        self.connection, theirs = Pipe()
        main = f"from strop.verifiers._worker import serve; serve({theirs.fileno()})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {main}"],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # its own session: Ctrl-C reaches the run, which then closes its pool
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
        theirs.close()
        problem = self._start(verify, seconds, memory)
        if problem:
            self.end()
            raise VerifierError(f"{_definition(verify).__name__} cannot be loaded in a worker process: {problem}")

    def _start(self, verify: Any, seconds: float, memory: int) -> str | None:
        """What went wrong while loading, or None."""
        made_by = _definition(verify)
        files = [inspect.getfile(made_by)] if made_by.__module__.startswith(USER_MODULE) else []
        try:
            self.connection.send((files, pickle.dumps(verify), seconds, memory))
            if not self.connection.poll(START_SECONDS):
                return f"it took longer than {START_SECONDS:g} s."
            return self.connection.recv()
        except (EOFError, OSError):
            return f"the process ended with code {self.process.wait()}."
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            return f"{error}. Define it at the top level of a file."

    def judge(self, pairs: Sequence[tuple[str, Problem]], closed: threading.Event) -> list[Verdict]:
        """The verdict of each answer; the same one for all where the worker is lost."""
        try:
            self.connection.send(pairs)
            if self._wait(closed):
                return self.connection.recv()
            self.alive = False
            lost = Verdict("timeout", detail=f"no verdict within {self.seconds:g} s")
        except (EOFError, OSError):
            self.alive = False
            lost = Verdict("error", detail=f"the worker process ended with code {self.process.wait()}")
        except Exception as error:  # a problem or a verdict that cannot be pickled
            self.alive = False
            lost = Verdict("error", detail=f"{type(error).__name__}: {error}"[:500])
        return [lost] * len(pairs)

    def _wait(self, closed: threading.Event) -> bool:
        """Whether a verdict has come in time; a pool that is closed does not wait."""
        left = self.seconds
        while left > 0 and not closed.is_set():
            step = min(left, 0.2)
            if self.connection.poll(step):
                return True
            left -= step
        return False

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


def _definition(verify: Any) -> Any:
    """The function or class that `verify` is made by."""
    return verify if inspect.isroutine(verify) else type(verify)


def judge(
    verify: Callable[[str, Problem], Verdict],
    pairs: Iterable[tuple[str, Problem]],
    workers: int = 2,
    seconds: float | None = None,
) -> list[Verdict]:
    """The verdict of each (response, problem), in order.

    >>> from strop.verifiers.exact import Exact
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="Yes")
    >>> [verdict.outcome for verdict in judge(Exact(), [("yes", problem), ("no", problem)])]
    ['right', 'wrong']
    """
    with JudgePool(verify, workers, seconds) as pool:
        count = 0
        for count, (response, problem) in enumerate(pairs, start=1):
            pool.submit(count - 1, response, problem)
        verdicts: list[Verdict | None] = [None] * count
        for tag, verdict in pool.results():
            verdicts[tag] = verdict
    return [verdict for verdict in verdicts if verdict is not None]
