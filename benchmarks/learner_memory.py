"""Peak memory of one optimiser step of the torch learner at a vocabulary of a real model's size.

    python benchmarks/learner_memory.py [--vocabulary 32768] [--rows 256] [--precision fp32]

What a step takes beyond the weights, masters and moments that were there before it: a surrogate that reads the written
tokens' log-probabilities, one that reads whole distributions and those of a teacher as well, and the usual way, in
which the model's logits of a batch exist at once. Each is measured in a process of its own.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import torch
from learner import MEMBERS, example
from transformers import Qwen3Config

from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.logprobs import layout
from strop.backends.torch.precision import resolve
from strop.models import language_model, nano
from strop.models.chat_tokenizer import ChatTokenizer
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.distillation.forward_kl import ForwardKL
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.recipe import AdamW
from strop.records import Batch

CASES = (
    "log-probabilities", "distributions of policy and teacher", "all logits at once",
    "log-probabilities, layers run twice",
)  # fmt: skip


def peak() -> float:
    """Megabytes this process has had at most."""
    return _status("VmHWM")


def _status(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise SystemExit("This reads /proc/self/status, which only Linux has.")
    return int(found[1]) / 1024


def usual(net: torch.nn.Module, batch: Batch) -> None:
    """One loss from the logits of every position, as a training loop without special care has it."""
    inputs, starts = layout(batch)
    logits = net(input_ids=inputs, use_cache=False).logits.float()
    rows, columns = batch.mask.nonzero(as_tuple=True)
    places = torch.as_tensor(starts)[rows] + columns
    logp = logits.log_softmax(dim=-1)[rows, places].gather(1, batch.tokens[rows, columns][:, None])
    (-logp.mean()).backward()


def measure(case: str, vocabulary: int, rows: int, precision: str) -> float:
    """Megabytes of one step above those before it, in this process."""
    shape = Qwen3Config(
        **nano.SIZES["nano"], vocab_size=vocabulary, num_key_value_heads=2, head_dim=32, tie_word_embeddings=True,
        bos_token_id=None,
    )  # fmt: skip
    model, teacher = (
        language_model.initialise(shape, seed, ChatTokenizer(nano.tokenizer(["text"]))) for seed in (0, 1)
    )
    learner = TorchLearner(model, dtype=resolve(precision), teacher=teacher, checkpointing=case == CASES[3])
    # once with few rows, so that moments and whatever is allocated once are there before
    objective = ForwardKL() if case == CASES[1] else ClipHigher()
    learner.step(example(MEMBERS), objective, TokenMean(), AdamW(), 1e-4)
    batch, before = example(rows), _status("VmRSS")
    if case == CASES[2]:
        usual(learner.net, batch)
    else:
        learner.step(batch, objective, TokenMean(), AdamW(), 1e-4)
    return peak() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=32_768)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--case", choices=CASES, help="measure this one only, in this process")
    given = parser.parse_args()
    if given.case:
        print(f"{measure(given.case, given.vocabulary, given.rows, given.precision):.0f}")
        return
    tokens = example(given.rows).counts.tokens
    print(f"{given.rows} rows, {tokens} written tokens, vocabulary {given.vocabulary}, {given.precision}")
    for case in CASES:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--case", case], capture_output=True, text=True, check=True
        )
        print(f"{case:40} {int(done.stdout):6} MB")


if __name__ == "__main__":
    main()
