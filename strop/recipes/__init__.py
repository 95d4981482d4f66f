"""One file for each published system: a function that returns a complete `Recipe`.

>>> import strop.recipes
>>> strop.recipes.grpo(task="arithmetic", steps=10).total_steps
10

Every recipe function takes at least `steps` and `seed`, and where the paper leaves them open `task` (a name or a task
piece), `model` and `data` (the file of a data-set task); its defaults are the paper's, scaled to the bundled model
where the model is a bundled one.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Recipes(ModuleType):
    """`strop.recipes.grpo` is the function, although its file has the same name.

    Python binds a submodule to its package's attribute when it is imported; here the function of that name is bound
    instead, whichever of the two is asked for first.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, getattr(value, name, value) if isinstance(value, ModuleType) else value)

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(importlib.import_module(f"{__name__}.{name}"), name)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


sys.modules[__name__].__class__ = _Recipes
