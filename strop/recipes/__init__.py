"""One file for each published system: a function that returns a complete `Recipe`.

>>> import strop.recipes
>>> strop.recipes.grpo(task="arithmetic", steps=10).total_steps
10

Every recipe function takes at least `task` (a name or a task piece), `model`, `data` (the file of a data-set task),
`steps` and `seed`; its defaults are the paper's, scaled to the bundled model where the model is a bundled one.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"strop.recipes.{name}"), name)
    except ModuleNotFoundError as error:
        if error.name != f"strop.recipes.{name}":
            raise
        raise AttributeError(f"module 'strop.recipes' has no attribute {name!r}") from None
