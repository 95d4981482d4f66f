"""Memory and time of long thoughts: in one context, and in chunks with a carry-over.

    python benchmarks/delethink.py [--lengths 256 512 1024 2048 4096 8192] [--attempts 4] [--chunk 256] [--carry 128]

The bundled model, its context raised to the longest thought (what it writes there means nothing; what it costs does
not depend on that), and without an end-of-turn token, so that every thought has the length that is asked for. For each
length: what sampling the attempts takes, and then one optimiser step on them; peak memory beyond what the process had
before, and processor time for each written token, with one thread, so that other work on the machine counts little.
Each case is a process of its own.
"""

import argparse
import contextlib
import ctypes
import dataclasses
import gc
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from strop.advantages.no_baseline import NoBaseline
from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.sampler import TorchSampler
from strop.batching import pack
from strop.episodes.chunked import Chunked
from strop.episodes.single_turn import SingleTurn
from strop.keys import Key
from strop.models import language_model
from strop.models.chat_tokenizer import ChatTokenizer
from strop.objectives.averages.sequence_mean import SequenceMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.recipe import AdamW
from strop.records import Group, Trajectory
from strop.tasks.arithmetic import Arithmetic

KINDS = ("one context", "chunks")
SPARE = 64
"""Positions for the question."""


class Endless(ChatTokenizer):
    """Nothing ends a turn."""

    @property
    def eos_ids(self) -> frozenset[int]:
        return frozenset()


def memory(name: str) -> float:
    """Megabytes: `VmRSS` now, `VmHWM` at most since the process began or `reset`."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise SystemExit("This reads /proc/self/status, which only Linux has.")
    return int(found[1]) / 1024


def reset() -> None:
    """Give free memory back, and forget the peak so far."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def measure(kind: str, length: int, attempts: int, chunk: int, carry: int, limit: float) -> dict[str, float]:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit * 2**30), resource.RLIM_INFINITY))
    loaded = language_model.load("nano")
    model = dataclasses.replace(loaded, tokenizer=Endless(loaded.tokenizer.hf), context=length + SPARE)
    sampler = TorchSampler(model, slots=attempts, precision="fp32")
    task = Arithmetic()
    episode: Any = SingleTurn(max_tokens=length)
    if kind == KINDS[1]:
        episode = Chunked(max_tokens=length, chunk=min(chunk, length), carry=min(carry, length - 1), head=0)
    # what is made once, at a first call, is there before
    learner = TorchLearner(model, token_budget=1024)
    learn([draw(SingleTurn(max_tokens=16), sampler, task, attempts)], learner)

    reset()
    before, begin = memory("VmRSS"), time.process_time()
    group = draw(episode, sampler, task, attempts)
    drawn, sampled = time.process_time() - begin, memory("VmHWM") - before
    tokens = sum(t.length for t in group.trajectories)
    if tokens != attempts * length:
        raise SystemExit(f"Expected {attempts * length} tokens, got {tokens}.")
    found = {"sample_mb": sampled, "sample_ms": 1000 * drawn / tokens}
    reset()
    before, begin = memory("VmRSS"), time.process_time()
    try:
        learn([group], learner)
    except (MemoryError, RuntimeError) as error:
        if "allocate memory" not in str(error):
            raise
        return found | {"learn_mb": float("inf"), "learn_ms": float("nan")}
    return found | {
        "learn_mb": memory("VmHWM") - before,
        "learn_ms": 1000 * (time.process_time() - begin) / tokens,
    }


def draw(episode: Any, sampler: TorchSampler, task: Arithmetic, attempts: int) -> Group:
    problem = task.problem("train", 0)
    found: list[Trajectory] = list(episode([problem], sampler=sampler, task=task, samples=attempts, key=Key.root(0)))
    return Group(problem, tuple(dataclasses.replace(t, reward=1.0 - 2 * (t.sample % 2)) for t in found))


def learn(groups: list[Group], learner: TorchLearner) -> None:
    batch, _ = pack(groups, NoBaseline())
    learner.step(batch, ClipHigher(), SequenceMean(), AdamW(), 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096, 8192])
    parser.add_argument("--attempts", type=int, default=4)
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--carry", type=int, default=128)
    parser.add_argument("--limit", type=float, default=4.0, help="GB a case may have; a step that needs more shows inf")
    parser.add_argument("--case", choices=KINDS, help="measure this one only, at the first length, in this process")
    given = parser.parse_args()
    if given.case:
        sizes = given.attempts, given.chunk, given.carry
        print(json.dumps(measure(given.case, given.lengths[0], *sizes, given.limit)))
        return
    print(f"{given.attempts} attempts, chunks of {given.chunk} tokens of which {given.carry} are carried over, fp32")
    print(f"{'':28}{'sampling':>20}{'one optimiser step':>24}")
    print(f"{'tokens':>8}  {'':16}{'MB':>10}{'ms/token':>12}{'MB':>12}{'ms/token':>12}")
    for length in given.lengths:
        for kind in KINDS:
            command = [sys.executable, __file__, "--case", kind, "--lengths", str(length)]
            command += [f"--{name}={getattr(given, name)}" for name in ("attempts", "chunk", "carry", "limit")]
            # large blocks go back at once, so that what is resident is what is in use
            own = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
            if done.returncode:
                print(f"{length:8}  {kind:16}{done.stderr.strip().splitlines()[-1][:80]}")
                continue
            row = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{length:8}  {kind:16}{row['sample_mb']:10.0f}{row['sample_ms']:12.3f}{row['learn_mb']:12.0f}"
                f"{row['learn_ms']:12.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
