"""What recipes share: how a task is named, and how fast a model of a given kind learns."""

from typing import Any

from strop.recipe import task_named

BUNDLED = ("micro", "nano", "mini")


def resolve(task: Any, data: str | None) -> Any:
    """A task piece from a name, or the piece itself."""
    return task_named(task, data) if isinstance(task, str) else task


def rate(model: str, bundled: float, real: float) -> float:
    """A learning rate: `bundled` for the small models shipped with strop, `real` for pre-trained checkpoints.

    A model of 3 M parameters wants steps two orders larger than one of 1 B, so one number cannot serve both.
    """
    return bundled if model in BUNDLED or model.startswith("scratch:") else real
