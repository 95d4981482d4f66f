"""What is written is what was given; a kill, a full disk or a closed folder costs at most what a resume rewrites."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from store_runs import RECIPE, made_groups, made_metrics, saves_model, write_steps

from strop.errors import StoreError
from strop.records import Group, Problem, Trajectory, Turn, Verdict
from strop.store import checkpoint, files
from strop.store.parts import parts, read
from strop.store.query import differences
from strop.store.run import Run
from strop.store.writer import RunWriter


def test_an_attempt_comes_back_field_by_field(tmp_path: Path):
    problem = Problem(
        id="game/train/3", task="game", prompt=(Turn("user", "first"), Turn("assistant", "?"), Turn("user", "last")),
        reference={"b": [1, 2], "a": "é"}, difficulty=4,
    )  # fmt: skip
    judged = Trajectory(
        problem=problem, sample=5, text="half \ud800 and \x00", finish="length", origin="expert",
        prompt_tokens=np.array([1, 2, 3]), tokens=np.array([9, 8, 7, 6]), mask=np.array([True, True, False, True]),
        logp=np.array([-0.5, -0.25, np.nan, 0.0]), verdict=Verdict("error", None, "ValueError: no"),
        rewards={"correct": 0.0, "length": -0.25}, reward=-0.25, advantage=1.5, dropped="too long", checkpoint="best",
    )  # fmt: skip
    bare = Trajectory(problem=problem, sample=6, text="")
    half = Trajectory(problem=problem, sample=7, text="y", tokens=np.array([4]))
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    writer.append(3, "rl", "train", [Group(problem, (judged, bare, half))], {"loss": 1})
    row, empty, _ = read(writer.path, "rollouts").to_pylist()
    assert row == {
        "step": 3, "stage": "rl", "split": "train", "group": 0, "problem_id": "game/train/3", "task": "game",
        "difficulty": 4, "sample": 5, "question": "last", "reference": '{"a": "é", "b": [1, 2]}',
        "response": "half ? and \x00", "finish": "length", "origin": "expert", "checkpoint": "best", "tokens": 3,
        "prompt_tokens": 3, "outcome": "error", "answer": None, "detail": "ValueError: no", "score": 0.0,
        "reward": -0.25, "rewards": [("correct", 0.0), ("length", -0.25)], "advantage": 1.5, "dropped": "too long",
    }  # fmt: skip
    assert (empty["outcome"], empty["score"], empty["answer"]) == (None, None, None)
    assert (empty["tokens"], empty["prompt_tokens"], empty["checkpoint"]) == (0, 0, "step=000003")
    first, second = read(writer.path, "tokens").to_pylist()
    assert (first["sample"], second["sample"]) == (5, 7)  # an attempt without tokens has no row
    assert (first["prompt_ids"], first["token_ids"]) == ([1, 2, 3], [9, 8, 7, 6])
    assert first["mask"] == [True, True, False, True]
    assert str(first["logp"]) == "[-0.5, -0.25, nan, 0.0]"
    assert (second["prompt_ids"], second["token_ids"], second["mask"], second["logp"]) == ([], [4], None, None)


def test_folder_says_what_ran(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", RECIPE, "strop run grpo\n--seed 3")
    assert json.loads((writer.path / "recipe.json").read_text()) == RECIPE
    facts = (writer.path / "commit.txt").read_text()
    for name in ("started", "commit", "torch", "transformers", "platform", "cpus"):
        assert f"{name}: " in facts, facts
    assert "command: strop run grpo --seed 3\n" in facts
    with pytest.raises(StoreError, match=r"already holds a run\. Next: strop resume"):
        RunWriter.create(tmp_path / "run", RECIPE)


def test_metrics_and_errors_are_gathered_once(write_run):
    run = write_run(steps=range(1, 7), every=2)
    names = [(row["step"], row["name"]) for row in read(run, "metrics").to_pylist()]
    expected = [(s, n) for s in range(1, 7) for n in [*(["accuracy/heldout"] if s % 2 == 0 else []), *made_metrics(s)]]
    assert names == expected
    assert [row["step"] for row in read(run, "errors").to_pylist()] == [3, 6]
    assert parts(run, "metrics") == [run / "metrics.parquet"]
    assert not list((run / "metrics").iterdir())


def test_gathering_cut_short_counts_nothing_twice(write_run, monkeypatch: pytest.MonkeyPatch):
    """Killed between writing the one file and removing the small ones."""
    run = write_run(steps=range(1, 4), every=9, finish=False)
    before = read(run, "metrics").to_pylist()
    with monkeypatch.context() as patch:
        patch.setattr("strop.store.parts.remove", lambda path: None)
        RunWriter(run, None, 3).finish()
    assert (run / "metrics.parquet").exists()
    assert len(list((run / "metrics").rglob("*.parquet"))) == 3
    assert str(read(run, "metrics").to_pylist()) == str(before)
    writer = RunWriter.resume(run, -1)
    write_steps(writer, range(1, 4), 9)
    assert str(read(run, "metrics").to_pylist()) == str(before)


@pytest.mark.parametrize("stopped", [3, 4, 5])
def test_resumed_equals_uninterrupted(write_run, stopped: int):
    whole = write_run("whole", range(1, 9), 2)
    cut = write_run("cut", range(1, stopped + 1), 2, finish=False)
    at = 2 * (stopped // 2)
    leftovers = [cut / "rollouts" / "step=000002" / ".train.parquet.tmp", cut / "checkpoints" / ".step=000006.tmp"]
    leftovers[0].write_bytes(b"half")
    leftovers[1].mkdir()
    writer = RunWriter.resume(cut, at, "strop resume cut")
    assert not any(path.exists() for path in leftovers)
    assert max(read(cut, "rollouts")["step"].to_pylist()) == max(read(cut, "metrics")["step"].to_pylist()) == at
    write_steps(writer, range(at + 1, 9), 2)
    writer.finish()
    assert differences(whole, cut) == []
    assert Run.open(cut).checkpoints == Run.open(whole).checkpoints == [6, 8]
    assert (cut / "commit.txt").read_text().count("commit: ") == 2


def test_resume_after_the_end_and_before_it(write_run):
    """A finished run can be prolonged, or taken up at an earlier checkpoint than its last."""
    whole, run = write_run("whole", range(1, 7), 2), write_run("run", range(1, 5), 2)
    writer = RunWriter.resume(run, 2)
    assert max(read(run, "metrics")["step"].to_pylist()) == 2
    assert checkpoint.steps(run / "checkpoints") == [2]
    write_steps(writer, range(3, 7), 2)
    writer.finish()
    assert differences(whole, run) == []
    with pytest.raises(StoreError, match=r"no checkpoint of step 3\. Steps with one: 4, 6"):
        RunWriter.resume(run, 3)
    with pytest.raises(StoreError, match="holds no run"):
        RunWriter.resume(run / "rollouts", 2)


def test_order_of_calls_is_held(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    writer.append(1, "rl", "train", made_groups(1), {})
    writer.append(1, "rl", "heldout", made_groups(1, "heldout"), {})
    with pytest.raises(StoreError, match="'train' cannot be written after"):
        writer.append(1, "rl", "train", made_groups(1), {})
    writer.checkpoint(1, {}, saves_model)
    with pytest.raises(StoreError, match="closed by the checkpoint of step 1"):
        writer.append(1, "rl", "other", made_groups(1), {})


def test_a_burst_of_errors_is_not_a_burst_of_files(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    for i in range(1000):
        writer.error(1, "verifier", "E", f"no {i}")
    assert len(list((writer.path / "errors").rglob("*.parquet"))) < 40
    writer.finish()
    assert [row["message"] for row in read(writer.path, "errors").to_pylist()] == [f"no {i}" for i in range(1000)]


def test_the_first_error_is_on_the_disk_at_once(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    writer.error(1, "sandbox", "OSError", "no bubblewrap")
    assert read(writer.path, "errors")["message"].to_pylist() == ["no bubblewrap"]


def test_memory_stays_flat(tmp_path: Path):
    """30 steps after a warm-up of 10 add less than 20 MB; the texts they write are 58 MB."""
    pages = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")  # noqa: E731
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    groups = made_groups(1, problems=4, samples=8, text="a long answer " * 4500)
    sizes = []
    for step in range(1, 41):
        writer.append(step, "rl", "train", groups, made_metrics(step))
        if step in (10, 40):
            sizes.append(pages())
    assert sizes[1] - sizes[0] < 20e6


class _FullDisk:
    """Stands in for `os.fsync`: after some calls the device has no room."""

    def __init__(self, room: int, code: int = errno.ENOSPC) -> None:
        self.room, self.code = room, code

    def __call__(self, handle: int) -> None:
        self.room -= 1
        if self.room < 0:
            raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("room", range(12))
def test_full_disk_is_named_and_costs_nothing_that_was_stored(write_run, monkeypatch: pytest.MonkeyPatch, room: int):
    run = write_run("run", [1, 2], 2, finish=False)
    state = checkpoint.load(run / "checkpoints" / "step=000002")
    writer = RunWriter.resume(run, 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _FullDisk(room))
        with pytest.raises(StoreError, match=r"is full \(.* MB free\).* strop resume .*run$") as caught:
            write_steps(writer, [3, 4], 2)
        assert str(run) in str(caught.value)
        writer.finish()  # does not raise, so that a `finally` shows the first error
    assert not list(run.rglob("*.tmp"))
    assert checkpoint.load(run / "checkpoints" / "step=000002")["step"] == state["step"] == 2
    again = RunWriter.resume(run, 2)
    write_steps(again, [3, 4], 2)
    again.finish()
    assert differences(write_run("whole", range(1, 5), 2), run) == []


def test_a_really_full_disk(tmp_path: Path):
    """A file system of 400 kB, where the caller may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a file system here")
    try:
        writer = RunWriter.create(disk / "run", RECIPE)
        write_steps(writer, [1, 2], 2)
        with pytest.raises(StoreError, match="the disk or quota is full"):
            writer.checkpoint(3, {"big": np.zeros(100_000)}, saves_model)
        assert checkpoint.steps(disk / "run" / "checkpoints") == [2]
        assert checkpoint.load(disk / "run" / "checkpoints" / "step=000002")["step"] == 2
        big = made_groups(3, text=os.urandom(600_000).hex())
        with pytest.raises(StoreError, match="the disk or quota is full"):
            writer.append(3, "rl", "train", big, {})
        assert len(read(disk / "run", "rollouts")) == 2 * 6 + 2
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_unwritable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(StoreError, match=r"permission denied. Make .* writable, then repeat the command") as caught:
        RunWriter.create(tmp_path / "run", RECIPE)
    assert str(tmp_path / "run") in str(caught.value)


def test_a_file_in_the_way(tmp_path: Path):
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(StoreError, match="Cannot write"):
        RunWriter.create(tmp_path / "run", RECIPE)


_SERVER = """
# imports once, then forks a writer for each line "RUN LAST" it reads and prints its process id
import os, sys
from pathlib import Path
import duckdb, pyarrow.parquet, pyarrow.compute, safetensors.torch
from store_runs import RECIPE, write_steps
from strop.store import checkpoint, writer
writer.write_report = lambda path: None

def write(run, last):
    if (run / "recipe.json").exists():
        step = checkpoint.latest(run / "checkpoints")
        made = writer.RunWriter.resume(run, -1 if step is None else step)
    else:
        step, made = None, writer.RunWriter.create(run, RECIPE)
    write_steps(made, range(1 if step is None else step + 1, last + 1), 3)

for line in sys.stdin:
    run, last = line.split()
    child = os.fork()
    if child == 0:
        write(Path(run), int(last))
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        start_new_session=True,
    )
    with process:
        yield process
        # its writers too, where a test failed before it could
        os.killpg(process.pid, signal.SIGKILL)


def _start(server: subprocess.Popen[str], run: Path, last: int) -> int:
    """The process id of a new writer."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(f"{run} {last}\n")
    return int(server.stdout.readline())


def _ended(server: subprocess.Popen[str]) -> bool:
    assert server.stdout is not None
    return server.stdout.readline() == "ended\n"


def test_killed_at_random_moments(server: subprocess.Popen[str], write_run, tmp_path: Path):
    """`kill -9` leaves a folder that reads, holds whole steps only, and ends as an uninterrupted run does."""
    run, rng, goal = tmp_path / "killed", random.Random(5), 0
    for _ in range(6):
        writer = _start(server, run, 10**6)
        goal += rng.randint(1, 4)
        while not (run / "rollouts" / f"step={goal:06d}").exists():
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.1))
        os.kill(writer, signal.SIGKILL)
        assert _ended(server)
        held = Run.open(run)
        rollouts, logged = held.rollouts, held.query("SELECT DISTINCT step FROM metrics ORDER BY 1")["step"].to_pylist()
        counts = {step: rollouts["step"].to_pylist().count(step) for step in logged}
        assert all(count in (6, 8) for count in counts.values()), counts
        assert logged == list(range(1, len(logged) + 1))
        for step in held.checkpoints:
            assert checkpoint.load(held.checkpoint(step))["step"] == step
    last = max(logged) + 2
    _start(server, run, last)
    assert _ended(server)
    assert differences(write_run("whole", range(1, last + 1), 3, finish=False), run) == []


def test_two_writers_are_kept_apart(server: subprocess.Popen[str], tmp_path: Path):
    run = tmp_path / "run"
    writer = _start(server, run, 10**6)
    while not (run / "rollouts").exists():
        time.sleep(0.002)
    with pytest.raises(StoreError, match=f"is being written by process {writer} on this machine"):
        RunWriter.resume(run, -1)
    os.kill(writer, signal.SIGKILL)
    assert _ended(server)
    RunWriter.resume(run, -1).finish()  # the claim of a killed writer is void


def test_readers_see_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """At the moment of every rename, what is already in place is whole."""
    writer, seen = RunWriter.create(tmp_path / "run", RECIPE), []
    replace = os.replace

    def spy(source: Path, target: Path) -> None:
        for found in [*parts(writer.path, "rollouts"), *parts(writer.path, "tokens"), *parts(writer.path, "metrics")]:
            pq.read_metadata(found)
        seen.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", spy)
    write_steps(writer, [1, 2, 3], 2)
    assert {"train.parquet", "metrics.parquet", "step=000002"} <= set(seen)
