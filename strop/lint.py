"""Looks at a recipe's data and settings before the first step, and names the first thing that is wrong."""

from typing import Any

from strop.episodes import Tokenizer, replays
from strop.errors import ConfigError, TaskError
from strop.keys import Key
from strop.piece import address, snake
from strop.recipe import Recipe, Stage

ROWS = 2000
"""Rows looked at; a data set larger than this is looked at in this many places, evenly."""


def lint(recipe: Recipe, tokenizer: Tokenizer, context: int) -> None:
    """Raise `ConfigError` or `TaskError` at the first offending setting or row.

    Checked: end-of-turn and padding ids differ, the trained end-of-turn id is one the sampler stops at, every
    problem has a reference, every prompt leaves room for an answer, every replayed response carries loss on its
    end-of-turn id, attempts that are drawn ahead can be and are corrected for it, and what `lint_stage` looks at.
    """
    pad = getattr(tokenizer, "pad_id", None)
    if pad is not None and pad in tokenizer.eos_ids:
        raise ConfigError(
            f"Model {recipe.model}: the padding id {pad} is also an end-of-turn id. Set a padding token of its own in "
            "tokenizer_config.json; masking by id would otherwise hide every end of turn."
        )
    if tokenizer.end_id not in tokenizer.eos_ids:
        raise ConfigError(
            f"Model {recipe.model}: responses end with id {tokenizer.end_id}, which is not among the ids generation "
            f"stops at: {sorted(tokenizer.eos_ids)}. Add it to eos_token_id in generation_config.json."
        )
    for number, stage in enumerate(recipe.stages):
        lint_stage(number, stage)
        if recipe.staleness and not replays(stage.episode):
            _lint_stale(number, stage, recipe.staleness)
        _lint_rows(recipe, stage, tokenizer, context)


def lint_stage(number: int, stage: Stage) -> None:
    """Raise `ConfigError` where two pieces of a stage do not fit, whatever the model and the data.

    Checked: no policy-gradient stage truncates the distribution it samples from, no loss that belongs to a whole
    response is averaged over tokens, and every controller finds what it is to change.
    """
    _lint_sampling(number, stage)
    _lint_averages(number, stage)
    for controller in stage.controllers:
        stage = controller.apply(controller.init(), stage)


def _lint_averages(number: int, stage: Stage) -> None:
    for place, term in enumerate(stage.terms):
        fitting = getattr(term.objective, "averages", ())
        name = snake(type(term.average).__name__)
        # an average of the user's own is the user's decision
        if not fitting or name in fitting or not address(term.average).startswith("objectives/"):
            continue
        own = isinstance(stage.objective, tuple) and stage.objective[place].average is not None
        where = f"stages.{number}.objective.{place}.average" if own else f"stages.{number}.average"
        raise ConfigError(
            f"{where}={name}: the loss of {type(term.objective).__name__} belongs to a whole response, and "
            f"{type(term.average).__name__} would count it once for each token, so that long responses weigh more. "
            f"It fits {' or '.join(fitting)}. Use --set {where}={fitting[0]}."
        )


def _lint_sampling(number: int, stage: Any) -> None:
    if stage.advantage is None:
        return
    inner = {f"episode.{name}": getattr(stage.episode, name, None) for name in ("base", "demonstrations")}
    for place, episode in {"episode": stage.episode, **inner}.items():
        if getattr(episode, "temperature", 1.0) == 0:
            raise ConfigError(
                f"stages.{number}.{place}.temperature=0: a policy gradient needs samples, and 0 always takes the most "
                "likely token. Use a temperature above 0; the learner divides its logits by the same."
            )
        for name, plain in (("top_p", 1.0), ("top_k", 0)):
            value = getattr(episode, name, plain)
            if value != plain:
                raise ConfigError(
                    f"stages.{number}.{place}.{name}={value}: a policy gradient needs samples of the policy itself, "
                    f"and any value but {plain} draws from another distribution and biases the importance ratio. "
                    f"Use --set stages.{number}.{place}.{name}={plain}."
                )


def _lint_stale(number: int, stage: Stage, staleness: int) -> None:
    where, why = f"stages.{number}", f"staleness={staleness} draws attempts with weights of earlier steps"
    if stage.curriculum.rounds > 1:
        raise ConfigError(
            f"{where}.curriculum: {why}, before it is known how many groups of a step can be used, and "
            f"{snake(type(stage.curriculum).__name__)} draws again to fill a step. Next: "
            f"--set {where}.curriculum=uniform"
        )
    if not corrects(stage):
        raise ConfigError(
            f"{where}.objective: {why}, and what is learned from them must be weighed by how likely the present "
            f"weights make them. Next: --set {where}.objective=truncated_importance"
        )


def corrects(stage: Stage) -> bool:
    """Whether all that a stage learns is weighed by the ratio of learner to sampler."""
    from strop.objectives.policy_gradient.truncated_importance import TruncatedImportance

    return all(isinstance(term.objective, TruncatedImportance) for term in stage.terms)


def _lint_rows(recipe: Recipe, stage: Any, tokenizer: Tokenizer, context: int) -> None:
    task = recipe.task
    rows = task.size("train")
    if rows == 0:
        raise TaskError(f"Task {task.name} has no rows in its split train. Check --data.")
    step = 1 if rows is None else max(1, rows // ROWS)
    indices = range(64) if rows is None else range(0, rows, step)
    shown = [getattr(piece, "demonstrations", None) for piece in (stage.episode, *stage.controllers)]
    replayed = [episode for episode in (stage.episode, *shown) if episode is not None and replays(episode)]
    for index in indices:
        problem = task.problem("train", index)
        if problem.reference is None or problem.reference == "":
            raise TaskError(f"Problem {problem.id} has no reference answer. Fix the row, or map the answer field.")
        used = len(tokenizer.prompt(problem.prompt))
        if used + 2 > context:
            raise TaskError(
                f"Problem {problem.id}: its prompt is {used} tokens, the model's context is {context}. "
                "Drop the row or use a model with a longer context."
            )
        for episode in replayed:
            _lint_replay(episode, task, problem, tokenizer, used, context)


def _lint_replay(episode: Any, task: Any, problem: Any, tokenizer: Tokenizer, used: int, context: int) -> None:
    class OnlyTokenizer:
        """An episode that replays asks its sampler for nothing else."""

    holder: Any = OnlyTokenizer()
    holder.tokenizer, holder.context = tokenizer, context
    for attempt in episode([problem], sampler=holder, task=task, samples=1, key=Key.root(0)):
        if attempt.finish == "stop" and not (attempt.tokens[-1] in tokenizer.eos_ids and attempt.mask[-1]):
            raise TaskError(f"Problem {problem.id}: the response carries no loss on its end-of-turn token.")
        if used + len(attempt.tokens) > context:
            raise TaskError(
                f"Problem {problem.id}: prompt and response are {used + len(attempt.tokens)} tokens, the model's "
                f"context is {context}. Lower stages.N.episode.max_tokens or drop the row."
            )
