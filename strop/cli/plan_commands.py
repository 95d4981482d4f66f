"""`strop plan`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from strop.cli.run_commands import Json, build_recipe
from strop.errors import ConfigError

if TYPE_CHECKING:
    from strop.planning.divided import Divided


def plan(
    recipe: Annotated[str, typer.Option(help="A recipe (strop ls recipes), or your own file.")] = "grpo",
    model: Annotated[
        str, typer.Option(help="A known shape such as Qwen2.5-1.5B, a folder, or nano, micro, mini.")
    ] = "nano",
    gpus: Annotated[str, typer.Option(help="How many of which: 1xH200; cpu measures this machine.")] = "cpu",
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a prompt.")] = 128,
    mean_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean tokens of a response; as many as allowed if left out.")
    ] = None,
    samplers: Annotated[
        str | None, typer.Option(help="How many of them sample while the others learn, or best; see docs/scale.md.")
    ] = None,
    staleness: Annotated[
        int | None, typer.Option(min=0, help="Steps that samplers may be ahead of the learner; the recipe's.")
    ] = None,
    lora: Annotated[int | None, typer.Option("--lora", min=1, help="Train an adapter of this rank.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a field of the recipe.")] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Instead: run four small runs here and compare predictions with them; with --samplers and --staleness "
            "runs on a cluster of this machine.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a step will need, in memory and time, before anything is run."""
    if staleness is not None and samplers is None:
        raise ConfigError(f"--staleness {staleness} is for samplers beside a learner. Next: --samplers best")
    if check:
        return _checked(as_json) if samplers is None else _cluster_checked(_number(samplers), staleness or 0, as_json)
    from strop.models.shapes import config_of
    from strop.planning import plan as plan_
    from strop.planning.divided import best, divide
    from strop.planning.estimate import table
    from strop.planning.machines import machines
    from strop.recipe import override

    machine = machines(gpus)
    keep = [f"model={model}", *([] if lora is None else [f"adapter.rank={lora}"])]
    made = override(build_recipe(recipe, {}), [*keep, *(settings or [])])
    if samplers is not None:
        stale, of = made.staleness if staleness is None else staleness, config_of(model)
        if samplers == "best":
            return _divided(best(made, of, machine, stale, prompt=prompt_tokens, mean=mean_tokens), as_json)
        number = _number(samplers)
        return _divided(divide(made, of, machine, number, stale, prompt=prompt_tokens, mean=mean_tokens), as_json)
    found = plan_(made, config_of(model), machine, prompt=prompt_tokens, mean=mean_tokens)
    if as_json:
        print(json.dumps(found.as_dict()))
        return None
    _print(table(found))
    print(
        "Memory is counted; time is operations and bytes over the machine's rates at an assumed share of the peak. "
        "How far off both are here: strop plan --check"
    )
    if not found.fits:
        raise ConfigError(
            f"{model} with {recipe} needs {found.peak / 2**30:.1f} GiB on each of {machine.count} x {machine.name}, "
            f"which have {machine.memory / 2**30:.1f}. What helps, in this order: --set gradient_checkpointing=true, "
            f"--set token_budget={max(1024, made.token_budget // 4)}, --lora 16, "
            f"--set slots={max(16, made.slots // 4)}, more of them."
        )
    return None


def _number(samplers: str) -> int:
    if not samplers.isdecimal() or int(samplers) < 1:
        raise ConfigError(f"--samplers takes a number from 1 on, or best; got {samplers!r}.")
    return int(samplers)


def _divided(found: "Divided", as_json: bool) -> None:
    from strop.planning.divided import fits, table

    if as_json:
        print(json.dumps(found.as_dict()))
        return
    _print(table(found))
    print(
        "Simulated from operations and bytes over the machine's rates at an assumed share of the peak; judging, "
        "checkpoints and evaluations are not in it. What is assumed, and how far off it was where it could be "
        "measured: docs/scale.md"
    )
    if not fits(found):
        raise ConfigError(
            f"{found.learner.model} does not fit there. What helps: --samplers best, --set "
            "gradient_checkpointing=true, --set slots=64, more of them."
        )


def _print(rows: list[tuple[str, str]]) -> None:
    wide = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{wide}}  {value}")


def _checked(as_json: bool) -> None:
    import sys

    from strop.planning.check import check

    found = check(lambda text: print(text, file=sys.stderr, flush=True))
    if as_json:
        rows = [{"run": c.name, "memory": list(c.memory), "seconds": list(c.seconds)} for c in found]
        print(json.dumps({"runs": rows}))
        return
    head = ("memory, MiB: said", "seen", "ratio", "step, s: said", "seen", "ratio")
    print(f"{'run':<32}  {head[0]:>18}  {head[1]:>6}  {head[2]:>5}  {head[3]:>14}  {head[4]:>5}  {head[5]:>5}")
    for each in found:
        (said, seen), (soon, took) = each.memory, each.seconds
        print(
            f"{each.name:<32}  {said / 2**20:>18,.0f}  {seen / 2**20:>6,.0f}  {said / seen:>5.2f}  {soon:>14.2f}  "
            f"{took:>5.2f}  {soon / took:>5.2f}"
        )


def _cluster_checked(samplers: int, staleness: int, as_json: bool) -> None:
    import sys

    from strop.planning.cluster import check_cluster

    found = check_cluster(samplers, staleness, lambda text: print(text, file=sys.stderr, flush=True))
    if as_json:
        rows = [
            {"samplers": p.samplers, "staleness": p.staleness, "problems": p.problems, "seconds": list(p.seconds)}
            for p in found
        ]
        print(json.dumps({"runs": rows}))
        return
    print(f"{'samplers':>8}  {'staleness':>9}  {'problems':>8}  {'step, s: said':>13}  {'seen':>6}  {'ratio':>5}")
    for p in found:
        said, seen = p.seconds
        print(f"{p.samplers:>8}  {p.staleness:>9}  {p.problems:>8}  {said:>13.2f}  {seen:>6.2f}  {said / seen:>5.2f}")
    print("Costs were measured in the first two runs; the others were said from them.")
