"""GRPO on a checkpoint of a real size: memory and time of a few steps, on whatever this machine is.

    python benchmarks/real_size.py ../shared/data/gsm8k_train.jsonl --steps 3
    python benchmarks/real_size.py ../shared/data/gsm8k_train.jsonl --steps 3 --set adapter.rank=16

The checkpoint has the shape of Qwen2.5-0.5B (494 M parameters, vocabulary 151,936) and random weights, so it runs where
no hub can be reached and learns nothing; what is shown is that the ordinary path carries it. Random answers are all
wrong, so every answer gets the advantage 1: the learner then does all the work of a step.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

QWEN_05B = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="GSM8K's training file (JSONL)")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--problems", type=int, default=4)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--set", action="append", default=[], help="change a field of the recipe: adapter.rank=16")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    import strop
    from strop.models import language_model
    from strop.progress import progress
    from strop.recipe import override
    from strop.recipes.grpo import grpo

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        made = language_model.initialise(QWEN_05B, seed=0, tokenizer=language_model.load("nano").tokenizer)
        parameters = sum(weight.numel() for weight in made.net.parameters())
        language_model.save(made, Path(folder) / "model")
        del made
        prepared = time.perf_counter() - started
        recipe = override(
            grpo(
                "gsm8k", model=f"{folder}/model", data=args.data, steps=args.steps, problems=args.problems,
                samples=args.samples, max_tokens=args.max_tokens,
            ),
            [
                "heldout.problems=4", "heldout.every=0", "checkpoint_every=0", "token_budget=2048",
                "stages.0.advantage=null", *args.set,
            ],
        )  # fmt: skip
        run = strop.run(recipe, out=Path(folder) / "run", display=progress("plain"))
        rows = [row for row in run.metrics.to_pylist() if row.get("time/step") is not None]
        result = {
            "parameters": parameters,
            "steps": args.steps,
            "batch": f"{args.problems} problems x {args.samples} samples x {args.max_tokens} tokens",
            "prepare_s": round(prepared, 1),
            "step_s": [round(row["time/step"], 1) for row in rows],
            "generate_s": [round(row["time/generate"], 1) for row in rows],
            "learn_s": [round(row["time/learn"], 1) for row in rows],
            "grad_norm": [row["grad_norm"] for row in rows],
            "mismatch_kl": [row["mismatch/kl"] for row in rows],
            "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        }
    print(json.dumps(result) if args.json else "\n".join(f"{k:<16}{v}" for k, v in result.items()), file=sys.stdout)


if __name__ == "__main__":
    main()
