"""Whether there is memory for a run at all, before its model is loaded."""

from pathlib import Path

from strop.errors import ConfigError
from strop.models.shapes import config_of
from strop.planning.estimate import state, token_bytes
from strop.planning.machines import free
from strop.recipe import Recipe


def afford(recipe: Recipe) -> None:
    """Raise `ConfigError` where the weights, what trains them, and one attempt are more than there is memory for.

    A lower bound, so whatever passes may still be too much; `strop plan` says how much the rest is.
    """
    if not Path(recipe.model).is_dir():
        # the bundled models fit anywhere, and a name on the hub is not asked for twice
        return
    try:
        # of a model that sees, the part that reads text: less than all of it
        config = config_of(recipe.model).get_text_config()
    except ConfigError:
        # loading it will say what is wrong
        return
    from strop.backends.torch.precision import resolve
    from strop.models.language_model import accelerator

    dtype = resolve(recipe.precision, accelerator())
    longest = max(int(getattr(stage.episode, "max_tokens", 0) or 0) for stage in recipe.stages)
    need = state(recipe, config, dtype) + longest * token_bytes(config, dtype.itemsize)
    available, where = free()
    if need > available:
        raise ConfigError(
            f"{recipe.model} needs at least {need / 2**30:.2f} GiB to be trained with {recipe.name}, and {where} has "
            f"{available / 2**30:.2f} GiB free. Next: --lora 16, or see what each part takes: "
            f"strop plan --model {recipe.model} --recipe {recipe.name} --gpus 1xH200"
        )
