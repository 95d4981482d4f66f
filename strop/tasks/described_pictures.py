"""What do you see?"""

import functools
from typing import Annotated, ClassVar

from pydantic import Field

from strop.errors import TaskError
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Turn, Verdict
from strop.tasks import Style, _visual
from strop.tasks.visual_puzzles import VisualPuzzles
from strop.text import join_thought, split_thought

NAMES = _visual.SHOWN + _visual.LETTERS[:4]
"""What the pictures of a puzzle with four options are called, in their order."""


@piece
class DescribedPictures:
    """Pictures of visual puzzles are to be described: a number for each attribute of each picture.

    A model that cannot see yet learns it here: a puzzle's answer says little about eight pictures, a description says
    seven things about each. Pictures are named as those of a puzzle are, and values told as its worked responses do.
    Those of a problem are of any puzzles, and problems that follow each other begin with different ones, since pictures
    of one puzzle are alike.

    Source: strop's own.

    >>> task = DescribedPictures()
    >>> problem = task.problem("train", 0)
    >>> problem.question, problem.reference
    ('What do you see? P<image>', 'count P4 shape P2 colour P3 fill P1 size P1 dot P8 ground P1')
    >>> task.verify(problem.reference, problem).outcome, task.verify("count P6", problem).outcome
    ('right', 'wrong')
    >>> DescribedPictures(pictures=3).problem("train", 0).reference[:29]
    'count P4 Q9 R12 shape P2 Q2 R'
    """

    pictures: Annotated[int, Field(ge=1, le=8)] = 1
    """How many are shown and described."""
    puzzles: Annotated[int, Field(ge=1, le=100_000)] = 1500
    """Puzzles that the pictures are of, eight of each; the split `heldout` has as many others."""
    pixels: Annotated[int, Field(ge=32, le=224)] = 64
    """Width and height of a picture."""
    seed: int = 0
    """Which stream of puzzles; two seeds share nothing."""

    name: ClassVar[str] = "described_pictures"
    verifier: ClassVar[str] = ""

    def size(self, split: str) -> int | None:
        return 8 * self.puzzles

    def problem(self, split: str, index: int) -> Problem:
        if not 0 <= index < 8 * self.puzzles:
            raise TaskError(f"{self.name} has the problems 0 to {8 * self.puzzles - 1} in each split, got {index}.")
        random = Key.root(self.seed).fold(self.name, split, index).random()
        others = [random.randrange(8 * self.puzzles) for _ in range(self.pictures - 1)]
        seen = dict(zip(NAMES, (self._picture(split, each) for each in (index, *others)), strict=False))
        told = {
            attribute: " ".join(f"{name}{values[attribute]}" for name, (_, values) in seen.items())
            for attribute in seen["P"][1]
        }
        question = "What do you see?" + "".join(f" {name}<image>" for name in seen)
        return Problem(
            id=f"{self.name}/{split}/{self.pictures}-{index}",
            task=self.name,
            prompt=(Turn("user", question, tuple(image for image, _ in seen.values())),),
            reference=" ".join(f"{attribute} {values}" for attribute, values in told.items()),
        )

    def _picture(self, split: str, index: int) -> tuple[str, dict[str, int]]:
        """It, and the values of its attributes."""
        whole, place = _puzzle(self.pixels, self.seed, split, index % self.puzzles), index // self.puzzles
        return whole.images[place], whole.data["panels"][place]

    def verify(self, response: str, problem: Problem) -> Verdict:
        answer = (split_thought(response).answer or "").strip()
        return Verdict("right" if answer == problem.reference else "wrong", answer=answer[:200])

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str:
        return join_thought("", str(problem.reference))

    def corrupt(self, problem: Problem, key: Key) -> str:
        first, value, *rest = str(problem.reference).split()
        return join_thought("", " ".join([first, f"{value[0]}{int(value[1:]) + 1}", *rest]))


@functools.lru_cache(maxsize=4096)
def _puzzle(pixels: int, seed: int, split: str, index: int) -> Problem:
    """Drawn once: eight pictures take as long as one."""
    return VisualPuzzles(pixels=pixels, seed=seed).problem(split, index)
