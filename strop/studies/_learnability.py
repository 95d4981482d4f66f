"""The arms of the study of learnability, how they are called, and what is read off them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from strop import catalogue
from strop.errors import ConfigError
from strop.store.run import Run
from strop.study.records import Reader, Table
from strop.tasks.traced import Traced

BUNDLED = ("micro", "nano", "mini")


class Way(NamedTuple):
    """One arm: a student of a size learns from `share` of one teacher's traces and the rest of another's."""

    size: str
    first: str
    second: str
    share: float
    matched: bool = False
    """By tokens: as many steps as give the tokens of the second teacher's arm."""

    @property
    def name(self) -> str:
        """
        >>> Way("nano", "long", "short", 0.2).name, Way("nano", "long", "short", 1.0, matched=True).name
        ('nano-0.2-long', 'nano-long-tokens')
        """
        pure = {1.0: self.first, 0.0: self.second}.get(self.share)
        return f"{self.size}-{pure or f'{self.share:g}-{self.first}'}{'-tokens' if self.matched else ''}"


def ways(
    sizes: Sequence[str], pairs: Sequence[tuple[str, str]], share: float, shares: Sequence[float]
) -> dict[str, Way]:
    """Every arm by its name; further mixtures only for the smallest student."""
    found = []
    for first, second in pairs:
        for size in sizes:
            sweep = [each for each in shares if size == sizes[0] and each not in (0.0, 1.0, share)]
            found += [Way(size, first, second, each) for each in (0.0, 1.0, share, *sweep)]
            found.append(Way(size, first, second, 1.0, matched=True))
    return {way.name: way for way in found}


def reader(sizes: Sequence[str], pairs: Sequence[tuple[str, str]], share: float, shares: Sequence[float]) -> Reader:
    """The gap of the smallest student minus that of the largest; then, pair by pair, everything else."""

    def of_pair(tables: Mapping[str, Table], first: str, second: str) -> dict[str, Table]:
        def arm(size: str, each: float, matched: bool = False) -> Table:
            return tables[Way(size, first, second, each, matched).name]

        found: dict[str, Table] = {}
        gaps = {size: arm(size, 1.0) - arm(size, 0.0) for size in sizes}
        if len(sizes) > 1:
            found[f"gap of {sizes[0]} - gap of {sizes[-1]}, {first} - {second}"] = gaps[sizes[0]] - gaps[sizes[-1]]
        for size in sizes:
            found[f"{size}: {first} - {second}"] = gaps[size]
            found[f"{size}: {first} - {second}, equal tokens"] = arm(size, 1.0, True) - arm(size, 0.0)
            for pure, name in ((1.0, first), (0.0, second)):
                found[f"{size}: {share:g} {first} - {name}"] = arm(size, share) - arm(size, pure)
        for each in shares:
            if each not in (0.0, 1.0, share):
                found[f"{sizes[0]}: {each:g} {first} - {second}"] = arm(sizes[0], each) - arm(sizes[0], 0.0)
        return found

    def read(tables: Mapping[str, Table]) -> dict[str, Table]:
        return {label: table for pair in pairs for label, table in of_pair(tables, *pair).items()}

    return read


def ratio(first: Traced, second: Traced, model: str) -> float:
    """Tokens of the second teacher's traces as a share of those of the first, on the same prompts; at most 1."""
    from strop.models.chat_tokenizer import load_tokenizer

    place = model
    if model in BUNDLED:
        # siblings are made by one recipe, so the shipped one counts tokens for those that are not there yet
        shipped = catalogue.ROOT / "assets" / model
        place = str(shipped if shipped.is_dir() else shipped.with_name("nano"))
    tokenizer = load_tokenizer(place)
    one, other = (sum(len(tokenizer.encode(t.text)) + 1 for t in task.traces[:512]) for task in (first, second))
    return min(1.0, other / one)


def bundled(size: str) -> str:
    """A bundled size: the shipped model, or the run in `runs/SIZE` that trained it."""
    if size not in BUNDLED:
        raise ConfigError(f'{size!r} is no bundled size. Give its model: --set \'sizes={{"{size}": "FOLDER"}}\'')
    run = Path("runs") / size
    shipped = (catalogue.ROOT / "assets" / size).is_dir()
    return str(run) if not shipped and (run / "recipe.json").is_file() else size


def folder(model: str) -> str:
    """A model, or the last checkpoint of a run folder."""
    return str(Run.open(model).checkpoint("last")) if (Path(model) / "recipe.json").is_file() else model
