from dataclasses import replace
from typing import Any

from strop.recipe import Recipe
from strop.recipes._defaults import resolve
from strop.recipes.grpo import grpo
from strop.study.match import matched
from strop.study.records import Arm, Study, over
from strop.tasks.other_forms import OtherForms
from strop.verifiers.cascade import Cascade
from strop.verifiers.exact import Exact
from strop.verifiers.model_judge import ModelJudge
from strop.verifiers.noisy import Noisy


def tinyv(
    *,
    seeds: int = 3,
    task: Any = "arithmetic",
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    share: float = 0.6,
    judge: str = "tinyv",
    threshold: float = 0.9,
    target: int = 60,
) -> Study:
    """What right answers cost that the rule verifier misses, and whether a small model that is asked next wins it back.

    The references of a `share` of the problems are written in another form (`50-3` or `forty seven` for 47). The rule,
    a string match, misses every right answer to these and no other one. Nothing is done to the policy's answers, and it
    cannot learn the form of a reference that it does not see. Held-out accuracy, and the truth behind precision and
    recall, are the task's own verdicts.

    - `rule`: the string match alone, the baseline.
    - `cascade`: the string match, then the bundled small verifier on what that rejects; an answer is right from a
      probability of `threshold` on, since a false positive is paid for each time it is found.
    - `task`: the task's own verdicts, which miss nothing.
    - `invented`: the task's own verdicts, but 5 % of the wrong answers are called right: what false positives cost.

    `steps_to@60` is the step at which 60 % of held-out answers were right, and the number of all steps where that never
    was; `prompt_efficiency` is the share of problems with right and wrong verdicts in their group. Another verifier:
    `--arm cascade:stages.0.verifier.judge.model=RUN`.

    Source: TinyV (arXiv:2505.14625), claims of section 5, at the size of the bundled model.

    Departures: the paper takes the verifier's likelier word, a `threshold` of 0.5.
    """
    other = OtherForms(task=resolve(task, data), share=share)
    base = grpo(other, model=model, steps=steps)
    base = replace(base, heldout=replace(base.heldout, problems=2048, every=max(1, steps // 20), quick=512))
    verifiers = {
        "rule": Exact(),
        "cascade": Cascade(rule=Exact(), judge=ModelJudge(model=judge, threshold=threshold)),
        "task": None,
        "invented": Noisy(judge=other, invented=0.05),
    }
    recipes = {name: _judged(base, verifier) for name, verifier in verifiers.items()}
    made = matched(recipes, "cascade", "steps")
    return Study(
        name=f"tinyv-{other.task.name}",
        question="What do right answers that the rule verifier misses cost, and does a cascade win it back?",
        claim="Rules and then a small verifier reach a higher accuracy than rules alone in the same number of steps.",
        direction="higher",
        arms=tuple(
            Arm(name=name, recipe=made[name], factors={"verifier": name, "missed": share if name == "rule" else 0.0})
            for name in ("rule", "cascade", "task", "invented")
        ),
        read=over("rule"),
        seeds=tuple(range(seeds)),
        measures=(
            "accuracy", "curve", f"steps_to@{target}", "reward_precision", "reward_recall", "prompt_efficiency",
        ),
        match="steps",
    )  # fmt: skip


def _judged(recipe: Recipe, verifier: Any) -> Recipe:
    return replace(recipe, stages=(replace(recipe.stages[0], verifier=verifier),))
