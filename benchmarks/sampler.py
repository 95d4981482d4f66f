"""Tokens per second of the default sampler, and transformers' `generate` beside it.

    python benchmarks/sampler.py [--threads 2] [--precision bf16] [--repeats 3] [--clock cpu]

A Qwen3 of 3.0 M random parameters (4 layers x 256, vocabulary 1024). Case `even`: 32 prompts of 10 to 20 tokens, 8
samples each, 46 new tokens for every row; both do the same work. Case `uneven`: 1024 samples of 8 to 96 new tokens
through the same 256 slots, where `generate` can only run four batches to their longest row. Rates count drawn tokens
and take the best of the repeats. `--clock cpu` counts processor seconds of the process instead of wall seconds, for
machines that others use at the same time; use it with one thread.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from strop.backends.torch.precision import resolve
from strop.backends.torch.sampler import TorchSampler
from strop.models.chat_tokenizer import ChatTokenizer
from strop.models.language_model import LanguageModel, initialise
from strop.records import Request

CONFIG = {
    "model_type": "qwen3", "vocab_size": 1024, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 640, "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}  # fmt: skip
SLOTS, SAMPLES = 256, 8
Clock = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    torch.set_num_threads(options.threads)
    model = make_model()
    sampler = TorchSampler(model, slots=SLOTS, precision=options.precision)
    dtype = resolve(options.precision)
    count = sum(weight.numel() for weight in model.net.parameters())
    what = f"{options.threads} threads, {options.clock} clock, {str(dtype).removeprefix('torch.')}"
    print(f"{count / 1e6:.1f} M parameters, {what}")
    for name, requests in (("even", even()), ("uneven", uneven())):
        ours = max(rate_of_sampler(sampler, requests, clock) for _ in range(options.repeats))
        theirs = max(rate_of_generate(model, requests, dtype, clock) for _ in range(options.repeats))
        print(f"{name:8} sampler {ours:8.0f} tokens/s   generate {theirs:8.0f} tokens/s   ratio {ours / theirs:.1f}")


def make_model() -> LanguageModel:
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(1024)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    model = initialise(CONFIG, 0, ChatTokenizer(tokenizer, [0]))
    # an end id that the model cannot draw: every row gets the length it was given
    return replace(model, tokenizer=ChatTokenizer(tokenizer, [1024]))


def even() -> list[Request]:
    random = np.random.default_rng(0)
    prompts = [random.integers(0, 1024, size=random.integers(10, 21)) for _ in range(SLOTS // SAMPLES)]
    return [Request(prompt=p, seeds=list(range(SAMPLES)), max_tokens=46) for p in prompts]


def uneven() -> list[Request]:
    random = np.random.default_rng(1)
    prompts = [random.integers(0, 1024, size=random.integers(10, 21)) for _ in range(4 * SLOTS)]
    return [Request(prompt=p, seeds=[i], max_tokens=int(random.integers(8, 97))) for i, p in enumerate(prompts)]


def rate_of_sampler(sampler: TorchSampler, requests: list[Request], clock: Clock) -> float:
    begin = clock()
    tokens = sum(len(completion.tokens) for completion in sampler.generate(requests))
    return tokens / (clock() - begin)


def rate_of_generate(model: LanguageModel, requests: list[Request], dtype: torch.dtype, clock: Clock) -> float:
    net = model.net.to(dtype) if dtype != model.net.dtype else model.net
    begin = clock()
    rows = [(request.prompt, request.max_tokens) for request in requests for _ in request.seeds]
    tokens = 0
    for first in range(0, len(rows), SLOTS):
        batch = rows[first : first + SLOTS]
        width = max(len(prompt) for prompt, _ in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (prompt, _) in enumerate(batch):
            ids[row, width - len(prompt) :] = torch.from_numpy(prompt)
            mask[row, width - len(prompt) :] = 1
        net.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            max_new_tokens=max(n for _, n in batch),
            pad_token_id=0,
        )
        tokens += sum(n for _, n in batch)
    net.float()
    return tokens / (clock() - begin)


if __name__ == "__main__":
    main()
