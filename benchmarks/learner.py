"""Tokens per second of one optimiser step of the torch learner, on a batch of the shape a small reasoning model makes.

    python benchmarks/learner.py [--threads 2] [--precision bf16] [--rows 256] [--budget 16384]

Prompt and response tokens both count, whatever the learner really has to compute. `modules` is the same step through
the model's own modules; the difference is what packing and the written-out passes save.
"""

import argparse
import time

import numpy as np
import torch
from transformers import Qwen3Config

from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.precision import resolve
from strop.batching import count
from strop.models import language_model, nano
from strop.models.chat_tokenizer import ChatTokenizer
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.recipe import AdamW
from strop.records import Batch

VOCABULARY, MEMBERS = 1024, 8


def example(rows: int) -> Batch:
    """Groups of eight; prompts of about 15 tokens, responses of about 46."""
    random = np.random.default_rng(0)
    lengths = torch.from_numpy(np.clip(random.normal(46, 14, rows), 8, 96).astype(np.int64))
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    group = torch.arange(rows) // MEMBERS
    prompts = [random.integers(0, VOCABULARY, random.integers(11, 20)) for _ in range(int(group[-1]) + 1)]
    advantage = torch.from_numpy(random.normal(size=(rows, 1))).float() * mask
    return Batch(
        tokens=torch.from_numpy(random.integers(0, VOCABULARY, mask.shape)),
        mask=mask,
        advantage=advantage,
        old_logp=torch.zeros(mask.shape).masked_fill(mask, float("nan")),
        reward=torch.zeros(rows),
        group=group,
        counts=count(mask, group),
        prompts=tuple(prompts[number] for number in group.tolist()),
    )


def rate(learner: TorchLearner, batch: Batch, repeats: int) -> float:
    """Best of several steps: other work on the machine only ever makes one slower."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        learner.step(batch, ClipHigher(), TokenMean(), AdamW(), 1e-4)
        best = min(best, time.perf_counter() - begin)
    return (batch.counts.tokens + sum(map(len, batch.prompts))) / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--budget", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    dtype = resolve(given.precision)
    shape = Qwen3Config(
        **nano.SIZES["nano"], vocab_size=VOCABULARY, num_key_value_heads=2, head_dim=32, tie_word_embeddings=True,
        bos_token_id=None,
    )  # fmt: skip
    batch = example(given.rows)
    for name in ("packed", "modules"):
        model = language_model.initialise(shape, 0, ChatTokenizer(nano.tokenizer(["text"])))
        learner = TorchLearner(model, token_budget=given.budget, dtype=dtype)
        if name == "modules":
            learner.scorer.packed = None
        print(f"{name:8} {dtype} {given.threads} threads {rate(learner, batch, given.repeats):8.0f} tokens/s")


if __name__ == "__main__":
    main()
