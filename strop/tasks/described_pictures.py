"""What is in the picture?"""

import functools
from typing import Annotated, ClassVar

from pydantic import Field

from strop.errors import TaskError
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Turn, Verdict
from strop.tasks import Style
from strop.tasks.visual_puzzles import VisualPuzzles
from strop.text import join_thought, split_thought


@piece
class DescribedPictures:
    """One picture of a visual puzzle is to be described: a number for each attribute.

    A model that cannot see yet learns it here: a puzzle's answer says little about eight pictures, a description says
    seven things about one. Problems that follow each other are of different puzzles, since pictures of one are alike.

    Source: strop's own.

    >>> task = DescribedPictures()
    >>> problem = task.problem("train", 0)
    >>> len(problem.images), problem.reference
    (1, 'count 4 shape 2 colour 3 fill 1 size 1 dot 8 ground 1')
    >>> task.verify(problem.reference, problem).outcome, task.verify("count 6", problem).outcome
    ('right', 'wrong')
    """

    puzzles: Annotated[int, Field(ge=1, le=100_000)] = 1500
    """Puzzles whose pictures are described, eight each; the split `heldout` has as many others."""
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
        whole = _puzzle(self.pixels, self.seed, split, index % self.puzzles)
        place = index // self.puzzles
        return Problem(
            id=f"{self.name}/{split}/{index}",
            task=self.name,
            prompt=(Turn("user", "What is in the picture? <image>", (whole.images[place],)),),
            reference=" ".join(f"{name} {value}" for name, value in whole.data["panels"][place].items()),
        )

    def verify(self, response: str, problem: Problem) -> Verdict:
        answer = (split_thought(response).answer or "").strip()
        return Verdict("right" if answer == problem.reference else "wrong", answer=answer[:200])

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str:
        return join_thought("", str(problem.reference))

    def corrupt(self, problem: Problem, key: Key) -> str:
        first, value, *rest = str(problem.reference).split()
        return join_thought("", " ".join([first, str(int(value) + 1), *rest]))


@functools.lru_cache(maxsize=4096)
def _puzzle(pixels: int, seed: int, split: str, index: int) -> Problem:
    """Drawn once: eight pictures take as long as one."""
    return VisualPuzzles(pixels=pixels, seed=seed).problem(split, index)
