"""Tokens per second of processor time of sampler and learner, and memory, with all weights trained and with an adapter.

    python benchmarks/adapter.py [--model nano] [--precision fp32] [--rank 16]

The sampler answers arithmetic problems; the learner takes the batch of `benchmarks/learner.py`. `hooked` is the same
adapter without the merged weights that small models get: what larger models do. State is what a checkpoint must hold
beside the model: masters and moments.
"""

import argparse
import time
from dataclasses import replace

import torch
from learner import example

from strop.backends.torch import fused, shadow, training
from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.precision import resolve
from strop.backends.torch.sampler import TorchSampler
from strop.episodes.single_turn import SingleTurn
from strop.keys import Key
from strop.models import language_model, lora
from strop.models.dense import weight_bytes
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.recipe import AdamW, LoRA
from strop.records import Batch
from strop.tasks.arithmetic import Arithmetic


def sampled(model: language_model.LanguageModel, precision: str, repeats: int) -> float:
    """Best of several calls: other work on the machine only ever makes one slower."""
    sampler, task, best = TorchSampler(model, precision=precision), Arithmetic(), 0.0
    problems = [task.problem("heldout", i) for i in range(32)]
    for turn in range(repeats):
        begin = time.process_time()
        attempts = SingleTurn(max_tokens=96)(problems, sampler=sampler, task=task, samples=8, key=Key.root(turn))
        best = max(best, sum(attempt.length for attempt in attempts) / (time.process_time() - begin))
    return best


def learned(learner: TorchLearner, batch: Batch, repeats: int) -> float:
    """Best of several steps; prompt and response tokens both count."""
    best = 0.0
    for _ in range(repeats):
        begin = time.process_time()
        learner.step(batch, ClipHigher(), TokenMean(), AdamW(), 1e-4)
        best = max(best, (batch.counts.tokens + sum(map(len, batch.prompts))) / (time.process_time() - begin))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    # processor time says nothing of several threads
    torch.set_num_threads(1)
    kinds = {
        "full": None,
        "adapter": LoRA(rank=args.rank),
        "hooked": LoRA(rank=args.rank),
        "int8": LoRA(rank=args.rank, quantise="int8"),
        "int4": LoRA(rank=args.rank, quantise="int4"),
    }
    print(f"{'':<10}{'sampler':>10}{'learner':>10}{'weights':>10}{'state':>10}   path")
    for name, adapter in kinds.items():
        if args.only and name not in args.only.split(","):
            continue
        if name == "hooked":
            for module in (fused, shadow, training):
                module.SMALL = 0
        model = language_model.load(args.model)
        if adapter is not None:
            lora.adapt(model, adapter, seed=0)
        vocabulary, batch = language_model.vocab_of(model.net), example(args.rows)
        batch = replace(batch, tokens=batch.tokens % vocabulary, prompts=tuple(p % vocabulary for p in batch.prompts))
        learner = TorchLearner(model, dtype=resolve(args.precision))
        state = sum(x.numel() * 4 for part in ("masters", "first", "second") for x in getattr(learner.masters, part))
        tokens = sampled(model, args.precision, args.repeats), learned(learner, batch, args.repeats)
        way = TorchSampler(model, precision=args.precision).path, "packed" if learner.scorer.packed else "modules"
        size = weight_bytes(model.net) / 1e6, state / 1e6
        print(f"{name:<10}{tokens[0]:>10.0f}{tokens[1]:>10.0f}{size[0]:>8.1f}MB{size[1]:>8.1f}MB   {', '.join(way)}")
        for module in (fused, shadow, training):
            module.SMALL = 50_000_000


if __name__ == "__main__":
    main()
