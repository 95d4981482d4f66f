"""Samples models and the checkpoints of runs into one file of rollouts, and shows a run's own to probes that need more
than text.

::

    OUT.jsonl          every attempt, with the field `checkpoint`
    OUT.parts/         a file for each checkpoint that is done, and what was asked for

A checkpoint that is done is not sampled again: after any kill the same call goes on, and a run that has gone on
training only has its new checkpoints sampled.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from strop.engine import FROM_SCRATCH
from strop.errors import ConfigError, StoreError
from strop.evaluate import open_sampler, write_rollouts
from strop.keys import Key
from strop.piece import dump
from strop.recipe import from_data
from strop.records import Group, Problem, Trajectory
from strop.scoring import score
from strop.store.files import step_name, write_file
from strop.store.run import Run
from strop.tasks import first_problems
from strop.verifiers import JudgePool, rule_of


@dataclass(frozen=True, slots=True)
class Draw:
    """What is drawn from each checkpoint."""

    task: Any
    episode: Any
    """How an attempt is drawn."""
    samples: int = 1
    """Attempts at each problem."""
    problems: int = 512
    split: str = "heldout"
    seed: int = 0
    precision: Any = "auto"
    slots: int = 256

    def to_data(self) -> dict[str, Any]:
        """All that the attempts depend on beside the weights."""
        kept = {name: getattr(self, name) for name in ("samples", "problems", "split", "seed", "precision")}
        return {"task": dump(self.task), "episode": dump(self.episode), **kept}


def of_run(run: Run, samples: int, temperature: float | None = None, problems: int | None = None) -> Draw:
    """What a run's own held-out evaluation draws, with more samples or another temperature."""
    recipe = from_data(run.recipe)
    episode = recipe.heldout.episode
    if temperature is not None:
        if not hasattr(episode, "temperature"):
            raise ConfigError(f"{type(episode).__name__} of {run.path} has no temperature to change: leave it out.")
        episode = replace(episode, temperature=temperature)
    return Draw(
        task=recipe.task,
        episode=episode,
        samples=samples,
        problems=problems or recipe.heldout.problems,
        seed=recipe.seed,
        precision=recipe.precision,
        slots=recipe.slots,
    )


def checkpoints(run: Run, last: int | None = None) -> dict[str, str]:
    """The model folders of a run by the names of their steps, the model it began with first; or the `last` so many."""
    model = str(run.recipe["model"])
    # random weights lie in no folder, and have nothing to forget
    begin = {} if model.startswith(FROM_SCRATCH) else {step_name(0): model}
    saved = {step_name(step): str(run.checkpoint(step)) for step in run.checkpoints}
    every = list((begin | saved).items())
    return dict(every if last is None else every[-last:])


def sample(models: Mapping[str, str], draw: Draw, out: Path, tell: Callable[[str], None] = lambda text: None) -> Path:
    """Draw from every model and write all attempts to `out`, a row each; `models` gives folders by checkpoint names."""
    parts = out.with_name(f"{out.stem}.parts")
    _claim(parts, draw, out)
    files: list[Path] = []
    for number, (name, model) in enumerate(models.items(), start=1):
        part = parts / f"{_plain(name)}-{_mark(name, model)}.jsonl"
        files.append(part)
        if part.is_file():
            continue
        tell(f"sampling {name} ({number} of {len(models)})")
        _sample_one(name, model, draw, part)
    write_file(out, b"".join(part.read_bytes() for part in files))
    return out


def _sample_one(name: str, model: str, draw: Draw, part: Path) -> None:
    sampler = open_sampler(model, slots=draw.slots, precision=draw.precision)
    chosen = first_problems(draw.task, draw.split, draw.problems)
    # checkpoints draw independently: the same seeds would let neighbours repeat each other
    key = Key.root(draw.seed).fold("sample", name)
    with JudgePool(rule_of(draw.task)) as judge:
        attempts = draw.episode(chosen, sampler=sampler, task=draw.task, samples=draw.samples, key=key)
        groups = score(chosen, attempts, judge)
    made = part.with_suffix(".tmp")
    write_rollouts(groups, made)
    told = [(group.problem.task, group.problem.question) for group in groups for _ in group.trajectories]
    rows_made = [json.loads(line) for line in made.read_text(encoding="utf-8").splitlines()]
    lines = [
        json.dumps({**row, "checkpoint": name, "task": task, "question": question}, ensure_ascii=False)
        for row, (task, question) in zip(rows_made, told, strict=True)
    ]
    write_file(part, ("\n".join(lines) + "\n").encode("utf-8", "replace"))
    made.unlink()


def _claim(parts: Path, draw: Draw, out: Path) -> None:
    """Write down what is drawn, or refuse to mix it with something else."""
    file, wanted = parts / "draw.json", draw.to_data()
    try:
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {error}. Remove {parts} and repeat the command.") from error
    if before is None:
        write_file(file, json.dumps(wanted, indent=1).encode())
        return
    if before != wanted:
        name = next(name for name in wanted if before.get(name) != wanted[name])
        raise StoreError(
            f"{out} was begun with another {name}: {before.get(name)}, now {wanted[name]}. Choose another --out, or "
            f"remove {parts}."
        )


def _mark(name: str, model: str) -> str:
    """Differs where the name or the weights do: names may hold anything, and a run may have been trained again."""
    weights = sorted(Path(model).glob("*.safetensors")) if Path(model).is_dir() else []
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in weights]
    return sha256(f"{name}|{facts or model}".encode()).hexdigest()[:8]


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "=._-" else "_" for c in name)[-60:]


def probed(run: Run, probe: Any, problems: int = 128) -> dict[str, Any]:
    """What a probe says of a run's last held-out answers, with whatever it needs beyond text."""
    wanted = set(getattr(probe, "needs", ()))
    if strange := wanted - {"rank", "start_rank"}:
        what = f"The probe {type(probe).__name__} needs {', '.join(sorted(strange))}, which a run has not."
        hint = f" Two models have: strop probe transfer {run.recipe['model']} {run.path}"
        raise ConfigError(what + hint * (strange <= {"logp", "start_logp", "features", "start_features"}))
    if not wanted:
        from strop.store.rollouts import read_rollouts

        return probe(read_rollouts(run.path, "heldout"))
    from strop.models import language_model

    model, start = language_model.load(run.checkpoint("last")), language_model.load(str(run.recipe["model"]))
    if start.tokenizer.vocabulary != model.tokenizer.vocabulary:
        raise ConfigError(f"{run.path} has another tokenizer than {run.recipe['model']}, which it began with.")
    model, start = language_model.placed(model), language_model.placed(start)
    names: Any = model.tokenizer.hf.convert_ids_to_tokens(list(range(model.tokenizer.vocab_size)))
    # byte-level tokenizers write a blank and a line break so
    words = tuple(str(name).replace("\u0120", " ").replace("\u010a", "\\n") for name in names)
    groups = _with_ranks(run, problems, {"rank": model.net, "start_rank": start.net})
    return replace(probe, names=words)(groups)


def _with_ranks(run: Run, problems: int, nets: Mapping[str, Any]) -> list[Group]:
    """The last held-out answers with each token's rank under models, in the signals of these names."""
    from strop.backends.torch.ranks import token_ranks

    rows = run.query(
        f"""SELECT problem_id, sample, prompt_ids, token_ids FROM tokens WHERE split = 'heldout'
        AND step = (SELECT max(step) FROM tokens WHERE split = 'heldout') ORDER BY "group", sample LIMIT {problems}"""
    ).to_pylist()
    if not rows:
        raise StoreError(f"{run.path} has no held-out answers. Next: strop resume {run.path}")
    groups = []
    for row in rows:
        prompt, tokens = (np.array(row[name], dtype=np.int32) for name in ("prompt_ids", "token_ids"))
        problem = Problem(id=row["problem_id"], task="", prompt=(), reference=None)
        signals = {name: token_ranks(net, prompt, tokens).astype(np.float32) for name, net in nets.items()}
        attempt = Trajectory(problem=problem, sample=row["sample"], text="", tokens=tokens, signals=signals)
        groups.append(Group(problem, (attempt,)))
    return groups
