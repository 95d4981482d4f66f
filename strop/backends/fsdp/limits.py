"""What a recipe may not ask for where several processes share the model."""

from strop.engine import VLLM
from strop.errors import ConfigError
from strop.piece import snake
from strop.recipe import Recipe


def check(recipe: Recipe, option: str, draws: bool = True) -> None:
    """Raise `ConfigError` at the first thing that only one process can do, with what to change. `option` asked for
    several; they also draw, or others do."""
    alone = f"or leave out {option}."
    if recipe.precision == "layercast":
        raise ConfigError(f"precision=layercast cannot be divided over processes. Next: --set precision=bf16, {alone}")
    if recipe.adapter is not None and recipe.adapter.quantise is not None:
        raise ConfigError(
            f"adapter.quantise={recipe.adapter.quantise}: quantised weights cannot be divided over processes. Next: "
            f"--set adapter.quantise=null, {alone}"
        )
    if recipe.adapter is not None and recipe.adapter.dropout:
        raise ConfigError(
            f"adapter.dropout={recipe.adapter.dropout}: what is dropped would depend on the number of processes. Next: "
            f"--set adapter.dropout=0, {alone}"
        )
    if draws and recipe.sampler == VLLM:
        raise ConfigError(
            f"sampler={VLLM} needs the whole model in one process. Next: leave out --sampler, and the processes share "
            f"the sampling too, {alone}"
        )
    for number, stage in enumerate(recipe.stages):
        if stage.by_term:
            named = [c for c in stage.controllers if "term_gradients" in getattr(c, "needs", ())]
            raise ConfigError(
                f"stages.{number}.controllers: {snake(type(named[0]).__name__)} compares whole gradients, and no "
                f"process has one. Take another controller (strop ls controllers), {alone}"
            )
