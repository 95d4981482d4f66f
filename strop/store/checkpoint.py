"""Checkpoints: a Hugging Face folder that any tool can load, and beside it one file with the rest of the state.

::

    checkpoints/step=000010/
        model.safetensors, config.json, tokenizer.json ...   the model, as transformers saves it
        state.safetensors                                    optimiser, curricula, reward memories ...

A checkpoint is made under a hidden name and renamed when it is whole and on the disk, so a folder called
`step=...` is always complete.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from strop.errors import StoreError
from strop.store.files import disk_errors, explain, remove, step_name, step_of, sync_folder, sync_tree, temporary
from strop.store.tree import read_tree, write_tree

STATE = "state.safetensors"


def save(folder: Path, tree: Any, save_model: Callable[[Path], None]) -> None:
    """Write a checkpoint at `folder`; `save_model(path)` writes the model's own files into the path it is given.

    Where this fails, earlier checkpoints are as they were; a full or unwritable disk is a `StoreError`.
    """
    from safetensors import SafetensorError

    made, old = temporary(folder), _old(folder)
    try:
        with disk_errors(folder):
            recover(folder.parent)
            made.mkdir(parents=True)
            save_model(made)
            write_tree(made / STATE, tree)
            sync_tree(made)
            if folder.exists():
                os.replace(folder, old)
            os.replace(made, folder)
            sync_folder(folder.parent)
            remove(old)
    except SafetensorError as error:
        # safetensors reports a failed write as its own exception, with the system's words inside
        _discard(made)
        raise StoreError(explain(folder, _system_error(error))) from error
    except BaseException:
        _discard(made)
        raise


def load(folder: Path) -> Any:
    """The state saved with a checkpoint; the model is loaded from the folder itself."""
    if not (folder / STATE).is_file():
        raise StoreError(f"{folder} is no checkpoint: it has no {STATE}. {_known(folder.parent)}")
    return read_tree(folder / STATE)


def steps(checkpoints: Path) -> list[int]:
    """The steps that have a complete checkpoint below `checkpoints`, ascending."""
    if not checkpoints.is_dir():
        return []
    found = ((step_of(path), path) for path in checkpoints.iterdir())
    return sorted(step for step, path in found if step is not None and (path / STATE).is_file())


def latest(checkpoints: Path) -> int | None:
    """The last step that has a complete checkpoint; None where there is none."""
    return max(steps(checkpoints), default=None)


def prune(checkpoints: Path, keep: int | None) -> None:
    """Remove all but the newest `keep` checkpoints, at least 1; `None` keeps every one."""
    for step in [] if keep is None else steps(checkpoints)[:-keep]:
        gone = checkpoints / step_name(step)
        # renamed first: a removal cut short must not leave a folder that looks complete
        with disk_errors(gone):
            os.replace(gone, temporary(gone))
        remove(temporary(gone))


def recover(checkpoints: Path) -> None:
    """Tidy up after a kill: half-written checkpoints go, one that was about to be replaced comes back."""
    for path in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []:
        if path.name.startswith(".") and path.name.endswith(".old"):
            home = path.with_name(path.name[1:-4])
            if home.exists():
                remove(path)
            else:
                with disk_errors(home):
                    os.replace(path, home)
        elif path.name.startswith(".") and path.name.endswith(".tmp"):
            remove(path)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _discard(made: Path) -> None:
    with contextlib.suppress(OSError):
        remove(made)


def _system_error(error: Exception) -> OSError:
    """The system's error number inside a message such as `I/O error: No space left on device (os error 28)`."""
    number = str(error).rpartition("os error ")[2].partition(")")[0]
    return OSError(int(number), os.strerror(int(number))) if number.isdecimal() else OSError(str(error))


def _known(checkpoints: Path) -> str:
    known = steps(checkpoints)
    return f"Complete ones: {', '.join(map(step_name, known))}." if known else f"{checkpoints} holds none."
