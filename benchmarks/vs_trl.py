"""GRPO end to end (generate, verify, learn) in strop and in TRL: the same model, problems, batch and machine.

    pip install 'strop[bench]'
    python benchmarks/vs_trl.py --json

The two take turns, each in a process of its own, so that a machine whose speed drifts treats both alike. A rate is
generated tokens per second of training step, first steps left out. TRL runs at the fastest of the settings tried
(`TRL_SETTINGS`); `python benchmarks/vs_trl.py --tune` measures them all.

`matmul_share` is strop's rate as a share of what the machine's bf16 matrix products alone would allow: 8 operations for
each weight and generated token, 2 to write it and 6 to learn from it. Prompts, attention and everything else come free.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROBLEMS, SAMPLES, MAX_TOKENS, WARM = 32, 8, 128, 2
TRL_SETTINGS: dict[str, dict[str, Any]] = {
    "bf16 autocast, one batch": {"weights": "float32", "bf16": True, "micro": 256},
    "bf16 autocast, micro-batches of 64": {"weights": "float32", "bf16": True, "micro": 64},
    "bf16 weights, one batch": {"weights": "bfloat16", "bf16": True, "micro": 256},
    "bf16 weights, micro-batches of 64": {"weights": "bfloat16", "bf16": True, "micro": 64},
    "bf16 weights, micro-batches of 16": {"weights": "bfloat16", "bf16": True, "micro": 16},
    "fp32, micro-batches of 64": {"weights": "float32", "bf16": False, "micro": 64},
}
BEST = "bf16 weights, micro-batches of 64"


def strop_rate(model: str, steps: int) -> dict[str, float]:
    """Generated tokens per second of strop's loop."""
    import strop
    from strop.progress import progress
    from strop.recipe import override
    from strop.recipes.grpo import grpo

    recipe = override(
        grpo("arithmetic", model=model, steps=steps + WARM, max_tokens=MAX_TOKENS, problems=PROBLEMS, samples=SAMPLES),
        ["heldout.every=0", "heldout.problems=1", "checkpoint_every=0", "stages.0.optimizer.lr=1e-6"],
    )
    with tempfile.TemporaryDirectory() as folder:
        run = strop.run(recipe, out=Path(folder) / "run", display=progress("silent"))
        rows = [row for row in run.metrics.to_pylist() if row.get("time/step") is not None][WARM:]
    seconds = sum(row["time/step"] for row in rows)
    return {
        "rate": sum(row["tokens/written"] for row in rows) / seconds,
        "length": statistics.mean(row["length/mean"] for row in rows),
        **{part: sum(row[f"time/{part}"] for row in rows) / seconds for part in ("generate", "verify", "learn")},
    }


def matmul_limit(model: str, seconds: float = 1.0) -> float:
    """Generated tokens per second if products with the weights, at the rate measured here, were all there is."""
    import torch
    from transformers import AutoModelForCausalLM

    from strop.models.language_model import locate

    net = AutoModelForCausalLM.from_pretrained(locate(model)[0])
    weights = sum(weight.numel() for weight in net.parameters() if weight.ndim == 2)
    if not net.config.tie_word_embeddings:
        weights -= net.get_input_embeddings().weight.numel()
    states = torch.randn(4096, net.config.hidden_size, dtype=torch.bfloat16)
    layer = torch.randn(net.config.hidden_size, net.config.intermediate_size, dtype=torch.bfloat16)
    for _ in range(10):
        states @ layer
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        states @ layer
        done += 1
    operations = 2.0 * states.numel() * layer.shape[1] * done / (time.perf_counter() - started)
    return operations / (8 * weights)


def trl_rate(model: str, steps: int, setting: str) -> dict[str, float]:
    """Generated tokens per second of TRL's GRPOTrainer."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from strop.models.language_model import locate
    from strop.recipe import task_named

    chosen = TRL_SETTINGS[setting]
    task = task_named("arithmetic")
    folder = locate(model)[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    problems = [task.problem("train", i) for i in range(PROBLEMS * (steps + WARM))]
    rows = [{"prompt": [{"role": "user", "content": p.question}], "index": i} for i, p in enumerate(problems)]

    def reward(completions: list[Any], index: list[int], **_: Any) -> list[float]:
        texts = [c[0]["content"] for c in completions]
        return [task.verify(text, problems[i]).score for text, i in zip(texts, index, strict=True)]

    class Watch(TrainerCallback):
        """Seconds of each step."""

        def __init__(self) -> None:
            self.begun = 0.0
            self.seconds: list[float] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.begun = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.seconds.append(time.perf_counter() - self.begun)

    watch = Watch()
    with tempfile.TemporaryDirectory() as out:
        micro = chosen["micro"]
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, chosen["weights"])),
            processing_class=tokenizer,
            reward_funcs=reward,
            train_dataset=Dataset.from_list(rows),
            callbacks=[watch],
            args=GRPOConfig(
                output_dir=out,
                use_cpu=True,
                bf16=chosen["bf16"],
                per_device_train_batch_size=micro,
                gradient_accumulation_steps=PROBLEMS * SAMPLES // micro,
                gradient_checkpointing=False,
                num_generations=SAMPLES,
                max_completion_length=MAX_TOKENS,
                max_steps=steps + WARM,
                learning_rate=1e-6,
                beta=0.0,
                temperature=1.0,
                logging_steps=1,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                shuffle_dataset=False,
            ),
        )
        trainer.train()
        lengths = [
            log["completions/mean_length"] for log in trainer.state.log_history if "completions/mean_length" in log
        ]
    kept = lengths[WARM : WARM + steps]
    return {
        "rate": sum(kept) * PROBLEMS * SAMPLES / sum(watch.seconds[WARM : WARM + steps]),
        "length": statistics.mean(kept),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--steps", type=int, default=8, help="measured steps of each turn")
    parser.add_argument("--turns", type=int, default=3, help="how often the two take turns")
    parser.add_argument("--tune", action="store_true", help="measure every TRL setting once")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        who, *setting = args.only
        found = (
            strop_rate(args.model, args.steps) | {"limit": matmul_limit(args.model)}
            if who == "strop"
            else trl_rate(args.model, args.steps, " ".join(setting))
        )
        print("\n" + json.dumps(found))
        return
    if args.tune:
        for setting in TRL_SETTINGS:
            print(f"{setting:<40}{_turn(args, 'trl', setting)['rate']:8.0f} tokens/s", flush=True)
        return
    pairs, shares = [], []
    for turn in range(args.turns):
        ours, theirs = _turn(args, "strop"), _turn(args, "trl", BEST)
        pairs.append((ours["rate"], theirs["rate"]))
        shares.append(ours["rate"] / ours["limit"])
        split = " ".join(f"{part} {ours[part]:.0%}" for part in ("generate", "verify", "learn"))
        print(
            f"turn {turn + 1}: strop {ours['rate']:.0f} tokens/s ({split}, length {ours['length']:.1f}), "
            f"TRL {theirs['rate']:.0f} (length {theirs['length']:.1f}), ratio {ours['rate'] / theirs['rate']:.2f}, "
            f"matmul alone {ours['limit']:.0f}",
            file=sys.stderr if args.json else sys.stdout,
            flush=True,
        )
    ratios = [a / b for a, b in pairs]
    result = {
        "strop_tokens_per_s": statistics.median(a for a, _ in pairs),
        "trl_tokens_per_s": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "matmul_share": statistics.median(shares),
    }
    print(json.dumps(result) if args.json else "\n".join(f"{name:<20}{value:10.2f}" for name, value in result.items()))


def _turn(args: argparse.Namespace, *only: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--model", args.model, "--steps", str(args.steps), "--only", *only]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(only)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
