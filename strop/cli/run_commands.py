"""`strop run`, `strop resume` and `strop eval`."""

import inspect
import json
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from strop.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from strop.backends.workers import Workers
    from strop.recipe import Recipe
    from strop.store.run import Run

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on the last line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Divide model and work over so many processes here, one for each GPU (FSDP).")
]
OnCluster = Annotated[
    str | None,
    typer.Option("--cluster", help="ray (actors on this machine), auto or HOST:PORT (a Ray cluster); see docs/ray.md."),
]
Samplers = Annotated[int | None, typer.Option(min=1, help="Actors that draw, on a cluster; 1.")]
Learners = Annotated[int | None, typer.Option(min=1, help="Actors that share the trained model, on a cluster; 1.")]


def run(
    recipe: Annotated[str, typer.Argument(help="A recipe's name (strop ls recipes), or your own .py or .toml file.")],
    task: Annotated[str | None, typer.Option(help="Task name, reasoning_gym:NAME, or a data-set mapping.")] = None,
    model: Annotated[str | None, typer.Option(help="nano, micro, mini, a folder, or a name on the hub.")] = None,
    data: Annotated[str | None, typer.Option(help="JSONL or Parquet file of a data-set task.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the loop.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.")] = None,
    size: Annotated[str | None, typer.Option(help="micro, nano or mini, where a recipe makes a model.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field: --set stages.0.objective.high=0.3")
    ] = None,
    lora: Annotated[
        int | None, typer.Option("--lora", min=1, help="Train an adapter of this rank in place of all weights.")
    ] = None,
    keep_every: Annotated[
        int | None, typer.Option("--keep-every", min=1, help="Save the model every N steps, and keep them all.")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="Who writes the attempts: vllm, or a server, http://HOST:PORT/v1; see docs/real_models.md."),
    ] = None,
    served_model: Annotated[str | None, typer.Option(help="The model's name on that server.")] = None,
    processes: Processes = None,
    cluster: OnCluster = None,
    samplers: Samplers = None,
    learners: Learners = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME-N.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the whole recipe and stop.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train as a recipe says."""
    from strop.recipe import override, to_json

    given = {"task": task, "model": model, "data": data, "steps": steps, "seed": seed, "size": size}
    keep = [] if keep_every is None else [f"checkpoint_every={keep_every}", "keep=0"]
    keep += [] if lora is None else [f"adapter.rank={lora}"]
    keep += [] if sampler is None else [f"sampler={sampler}#{served_model}" if served_model else f"sampler={sampler}"]
    made = override(build_recipe(recipe, {k: v for k, v in given.items() if v is not None}), keep + (settings or []))
    if dry_run:
        print(json.dumps(json.loads(to_json(made))) if as_json else to_json(made))
        return
    if _follows():
        return
    from strop import flow

    workers = _workers(processes, cluster, samplers, learners)
    finished = flow.run(made, out=out, display=_display(quiet), command=typed(), workers=workers)
    _report(finished, as_json)


def resume(
    path: Annotated[Path, typer.Argument(help="The run folder.")],
    processes: Processes = None,
    cluster: OnCluster = None,
    samplers: Samplers = None,
    learners: Learners = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a run that was stopped or killed; with any number of processes, or on a cluster."""
    if _follows():
        return
    from strop import flow

    workers = _workers(processes, cluster, samplers, learners)
    _report(flow.resume(path, display=_display(quiet), command=typed(), workers=workers), as_json)


def _workers(processes: int | None, cluster: str | None, samplers: int | None, learners: int | None) -> "Workers":
    from strop.backends.fsdp.launch import team_size
    from strop.backends.workers import Workers

    return Workers.of(team_size(processes), cluster, samplers, learners)


def _follows() -> bool:
    """Do the work of a process that torchrun started to follow another one, where this is one; whether it was."""
    from strop.backends.fsdp.launch import follows

    if not follows():
        return False
    from strop.backends.fsdp.follow import follow
    from strop.backends.fsdp.team import Place

    follow(Place.of_torchrun())
    return True


def evaluate(
    model: Annotated[str, typer.Argument(help="nano, micro, mini, a folder, a name on the hub, or a run folder.")],
    task: Annotated[
        list[str] | None,
        typer.Option(help="Task name, reasoning_gym:NAME, or a data-set mapping; arithmetic. Several with --decoder."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="JSONL or Parquet file of a data-set task.")] = None,
    problems: Annotated[int, typer.Option("--problems", "-n", min=1, help="Held-out problems.")] = 512,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each problem.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the most likely token.")] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 160,
    style: Annotated[str | None, typer.Option(help="Ask for direct, short or long thinking.")] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or layercast.")] = "auto",
    quantise: Annotated[str | None, typer.Option(help="Hold linear layers in int8 or int4.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write every answer to this JSONL file.")] = None,
    decoder: Annotated[
        str | None, typer.Option(help="Compare decoders, such as majority,leap; see strop ls decoders.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Attempts that an answer of a decoder may cost, such as 4,16; 4.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of a decoder: --set first_finish.k=2")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Second model, for decoders that mix two.")] = None,
    scorer: Annotated[
        str | None, typer.Option("--score", help="Reward that scores attempts for decoders; else their likelihood.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Draw the comparison of decoders into this HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Accuracy of a model on held-out problems, with its interval; with --decoder, of decoders at equal budgets."""
    tasks = task or ["arithmetic"]
    for path, name, example in ((out, "--out", "answers.jsonl"), (page, "--page", "decoders.html")):
        if path is not None and path.is_dir():
            raise ConfigError(f"{path} is a folder, expected a file. Next: {name} {path / example}")
    if decoder is not None:
        if out is not None or samples != 1:
            raise ConfigError("--decoder goes with --budget and --page, not with --samples or --out.")
        _compare_decoders(
            model, tasks, decoder, budget or "4", settings or [], data=data, problems=problems, style=style, page=page,
            temperature=temperature, max_tokens=max_tokens, precision=precision, quantise=quantise, seed=seed,
            reference=reference, scorer=scorer, as_json=as_json,
        )  # fmt: skip
        return
    given = {"--budget": budget, "--set": settings, "--reference": reference, "--score": scorer, "--page": page}
    if unused := [name for name, value in given.items() if value]:
        raise ConfigError(f"{unused[0]} is about decoders. Next: name them with --decoder, such as --decoder majority")
    if len(tasks) > 1:
        raise ConfigError("Several tasks go with --decoder only: evaluate them one after the other.")
    _evaluate_model(
        model, tasks[0], out, as_json, data=data, problems=problems, samples=samples, temperature=temperature,
        max_tokens=max_tokens, style=style, precision=precision, quantise=quantise, seed=seed,
    )  # fmt: skip


def _compare_decoders(
    model: str, tasks: list[str], names: str, budget: str, settings: list[str], *, data: str | None, problems: int,
    style: str | None, page: Path | None, temperature: float, max_tokens: int, precision: str, quantise: Any,
    seed: int, reference: str | None, scorer: str | None, as_json: bool,
) -> None:  # fmt: skip
    from strop import catalogue
    from strop.cli.eval_decoders import budgets, decoders, report
    from strop.decoding import evaluate_decoders, write_page
    from strop.episodes.single_turn import SingleTurn
    from strop.evaluate import open_sampler
    from strop.piece import build
    from strop.recipe import task_named

    episode = build(SingleTurn, {"max_tokens": max_tokens, "temperature": temperature, "style": style}, "eval")
    pieces, sizes = decoders(names, settings), budgets(budget)
    sources = [task_named(name, data) for name in tasks]
    scoring = None if scorer is None else catalogue.load(scorer, None if ".py" in scorer else "rewards")()
    sampler = open_sampler(model, reference=reference, precision=precision, quantise=quantise)
    result = {"model": model} | evaluate_decoders(
        sampler, sources, pieces, sizes, problems=problems, episode=episode, scorer=scoring, seed=seed
    )
    if page is not None:
        write_page(result, page)
    if as_json:
        print(json.dumps(result))
        return
    report(result)
    if page is not None:
        print(f"figure {page}")


def _evaluate_model(model: str, task: str, out: Path | None, as_json: bool, **how: Any) -> None:
    from strop.evaluate import evaluate_model, write_rollouts

    result, groups = evaluate_model(model, task, **how)
    if out is not None:
        write_rollouts(groups, out)
    if as_json:
        print(json.dumps(result))
        return
    low, high = result["ci"]
    print(f"{model} on {task}: {result['accuracy']:.1%} right [{low:.1%}, {high:.1%}], {result['problems']} problems")
    print(f"mean length {result['length']:.1f} tokens, {result['tokens_per_s']:.0f} tokens/s")
    for outcome, share in result["verdicts"].items():
        print(f"  {outcome:<11}{share:6.1%}")


def build_recipe(name: str, given: dict[str, Any]) -> "Recipe":
    """A recipe from its name or the user's file, with the arguments that were typed."""
    from pydantic import ValidationError

    from strop import catalogue
    from strop.piece import explain
    from strop.recipe import Recipe, from_data, override

    settings: list[str] = []
    if name.endswith(".toml"):
        values = _toml(Path(name))
        settings = [str(setting) for setting in values.pop("set", [])]
        name, given = values.pop("recipe", ""), values | given
    elif name.endswith(".json"):
        if given:
            raise ConfigError(f"{name} is a complete recipe: change it with --set, not with {', '.join(given)}.")
        return from_data(_json(Path(name)), name)
    function = catalogue.load(name, None if ".py" in name else "recipes")
    known = inspect.signature(function).parameters
    for key in given:
        if key not in known:
            raise ConfigError(f"Recipe {name} takes no {key!r}. {did_you_mean(key, known)}")
        hint = known[key].annotation
        if get_origin(hint) is Literal and given[key] not in get_args(hint):
            raise ConfigError(f"{key} must be one of {', '.join(get_args(hint))}, got {given[key]!r}.")
    try:
        made = function(**given)
    except ValidationError as error:
        raise ConfigError(explain(error, name)) from None
    if not isinstance(made, Recipe):
        raise ConfigError(f"{name} must return a strop.Recipe, got {type(made).__name__}.")
    return override(made, settings)


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        values = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    if "recipe" not in values:
        raise ConfigError(f'{path} names no recipe. Add a line such as: recipe = "grpo"')
    return values


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no recipe: expected an object in braces, got a {type(values).__name__}.")
    return values


def _read(path: Path) -> str:
    if path.is_dir() or not path.exists():
        raise ConfigError(f"{path} is a folder, expected a file." if path.is_dir() else f"There is no file {path}.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def _display(quiet: bool) -> Any:
    from strop.progress import progress

    return progress("silent" if quiet else "auto")


def typed() -> str:
    """The command as the user typed it."""
    return shlex.join(["strop", *sys.argv[1:]])


def _report(run: "Run", as_json: bool) -> None:
    """The summary; for people before and after in words, unless the run was stopped, and where the files are."""
    from strop.cli.progress import printable
    from strop.store.summary import before_and_after, summary

    numbers = summary(run)
    if as_json:
        print(json.dumps(numbers))
        return
    lines = [f"run folder {run.path}, report {run.path / 'report.html'}"]
    if numbers["step"] >= numbers["steps"]:
        lines.insert(
            0,
            f"held-out accuracy {numbers['heldout_before']:.1%} -> {numbers['heldout_after']:.1%} on "
            f"{numbers['heldout_n']} problems, {numbers['seconds']:.0f} s of training",
        )
        lines = [*printable(before_and_after(run)).splitlines(), *lines]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in lines:
        print(_folded(line, width) if width > 40 else line)


def _folded(line: str, width: int) -> str:
    """A long line broken at words, its rest as far in as its second column where it has one.

    >>> print(_folded("  before right      1+1=2 2+3=5", 27))
      before right      1+1=2
                        2+3=5
    """
    indent = " " * (20 if line.startswith("  ") else 2)
    return textwrap.fill(line, width, subsequent_indent=indent)
