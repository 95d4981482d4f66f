"""strop: post-train reasoning language models, and measure what it did to them.

>>> import strop
>>> run = strop.run(strop.recipes.grpo(task="countdown", steps=100))  # doctest: +SKIP
>>> run.metrics, run.rollouts, run.model()  # doctest: +SKIP

Importing this package loads no torch; names are imported on first use.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strop import recipes as recipes
    from strop.flow import resume as resume
    from strop.flow import run as run
    from strop.recipe import Recipe as Recipe
    from strop.recipe import Stage as Stage
    from strop.store.run import Run as Run

_HOME = {
    "run": "strop.flow",
    "resume": "strop.flow",
    "Recipe": "strop.recipe",
    "Stage": "strop.recipe",
    "Run": "strop.store.run",
}

try:
    __version__ = version("strop")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["Recipe", "Run", "Stage", "__version__", "recipes", "resume", "run"]


def __getattr__(name: str) -> Any:
    if name == "recipes":
        return importlib.import_module("strop.recipes")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'strop' has no attribute {name!r}")
