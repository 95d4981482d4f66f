from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from strop.curators.mix_sources import MixSources
from strop.errors import ConfigError
from strop.recipe import Heldout, Recipe, task_named
from strop.recipes.sft import sft
from strop.studies._learnability import BUNDLED, Way, bundled, folder, ratio, reader, ways
from strop.study.records import Arm, Study
from strop.tasks.traced import Traced

_CLAIM = "A small student gains less from the first teacher, compared with the second, than a large one."


def learnability(
    *,
    seeds: int = 3,
    task: Any = "arithmetic",
    data: str | None = None,
    steps: int = 64,
    sizes: Sequence[str] | Mapping[str, str] = BUNDLED,
    teachers: Mapping[str, str] = {"long": "long", "short": "short"},
    pairs: Sequence[Sequence[str]] = (("long", "short"), ("large", "small")),
    share: float = 0.2,
    shares: Sequence[float] = (0.1, 0.5),
    prompts: int = 2048,
    problems: int = 1024,
    max_tokens: int = 256,
    trace_tokens: int = 384,
    lr: float | None = None,
) -> Study:
    """Whether small students learn less than large ones from long traces and strong teachers, and a mixture helps.

    Every student in `sizes`, from small to large, is fine-tuned on the traces of each teacher of a pair, on the same
    prompts, and on a mixture with `share` of the first one's. The learnability gap of a size is the accuracy after
    learning from the first teacher minus that after learning from the second. Arms are equal in examples; those
    called `-tokens` learn from the first teacher only as many tokens as there are in the second one's traces. `shares`
    are further mixtures for the smallest student. Which words each arm made likely stands under `probes`.

    `sizes` names the bundled sizes, or gives a model or run folder for each name. Those that are not shipped are made
    by `strop run pretrain_nano --size micro --out runs/micro`, and found there. `teachers` gives a file of rollouts for
    each name, or a style in which the task writes; `strop sample MODEL --split train --out FILE` makes such a file.
    `pairs` whose teachers are not there are left out. `prompts` is the size of the set, `trace_tokens` the longest
    trace that is used, `max_tokens` the longest answer.

    Source: Small Models Struggle to Learn from Strong Reasoners (arXiv:2502.12143), tables 2 to 4.

    Departures: teachers are procedural or siblings of the students; the paper's learning rate, 1e-5, for real models.
    """
    students = dict(sizes) if isinstance(sizes, Mapping) else {size: bundled(size) for size in sizes}
    students = {size: folder(model) for size, model in students.items()}
    found = [(str(first), str(second)) for first, second in pairs if {first, second} <= set(teachers)]
    if not found or not students:
        raise ConfigError(f"No pair of teachers is complete: pairs {list(pairs)}, teachers {', '.join(teachers)}.")
    base = task_named(task, data) if isinstance(task, str) else task
    names, arms = list(students), ways(list(students), found, share, shares)
    tasks = {
        (first, second, each): Traced(
            task=base,
            sources=tuple((name, str(source)) for name, source in teachers.items()),
            curator=MixSources(first=first, second=second, share=each, max_tokens=trace_tokens),
            prompts=prompts,
        )
        for first, second, each in {way[1:4] for way in arms.values()}
    }

    # how much longer one teacher writes is the same for every student that reads the same tokens
    shorter = {pair: ratio(tasks[(*pair, 1.0)], tasks[(*pair, 0.0)], students[names[0]]) for pair in found}

    def made(way: Way) -> Recipe:
        recipe = sft(
            tasks[way[1:4]],
            model=students[way.size],
            steps=max(1, round(steps * (shorter[way.first, way.second] if way.matched else 1.0))),
            max_tokens=max_tokens,
        )
        stage = recipe.stages[0]
        rate = lr or (5e-4 if way.size in BUNDLED else stage.optimizer.lr)
        heldout = Heldout(episode=recipe.heldout.episode, problems=problems, quick=problems, every=0)
        optimizer = replace(stage.optimizer, lr=rate)
        stage = replace(stage, optimizer=optimizer, episode=replace(stage.episode, max_tokens=trace_tokens))
        return replace(recipe, name="learnability", stages=(stage,), heldout=heldout, checkpoint_every=0)

    return Study(
        name=f"learnability-{base.name}",
        question="Whose traces does a student of each size learn from best?",
        claim=_CLAIM if len(names) > 1 else "",
        direction="lower" if len(names) > 1 else "",
        arms=tuple(
            Arm(
                name=way.name,
                recipe=made(way),
                factors={"size": way.size, "teachers": [way.first, way.second], "share": way.share,
                         "equal": "tokens" if way.matched else "examples"},
            )
            for way in arms.values()
        ),
        read=reader(names, found, share, shares),
        seeds=tuple(range(seeds)),
        probes=("rank_shift",),
    )  # fmt: skip
