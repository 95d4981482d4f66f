"""Maximum cliques in small graphs."""

import itertools
import re
from typing import Annotated, ClassVar

from pydantic import Field

from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Turn, Verdict
from strop.tasks import Style
from strop.tasks._max_clique import apart, bound, grow, largest_of, neighbours
from strop.text import join_thought, split_thought

Level = Annotated[int, Field(ge=4, le=9)]


@piece
class MaxClique:
    """Find a largest set of letters that are all joined: `clique a-b a-c b-c c-d` asks for `a b c`; level `n` has `n`.

    Any largest clique counts. The short style grows one (`use` a letter, `left` are those joined to all used so far);
    the long style is branch and bound over all of them in alphabetical order: `no` where even all that is left would
    not beat the best. Source: the search is that of Carraghan and Pardalos, Oper. Res. Lett. 9 (1990).

    >>> from strop.records import Problem, Turn
    >>> graph = {"edges": ["a-b", "a-c", "b-c", "c-d"], "clique": ["a", "b", "c"]}
    >>> problem = Problem(id="max_clique/train/0", task="max_clique", prompt=(Turn("user", "clique"),), reference=graph)
    >>> [MaxClique().verify(answer, problem).outcome for answer in ("c a b", "c d", "a b d")]
    ['right', 'wrong', 'wrong']
    """

    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = (5, 6)
    """Difficulties to draw from, evenly: letters."""
    density: Annotated[float, Field(ge=0.3, le=0.9)] = 0.6
    """Probability of each edge."""
    seed: int = 0
    """Which stream of problems; two seeds share nothing."""

    name: ClassVar[str] = "max_clique"
    verifier: ClassVar[str] = ""

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, index: int) -> Problem:
        random = Key.root(self.seed).fold(self.name, split, index).random()
        level = random.choice(self.levels)
        pairs = [f"{u}-{v}" for u, v in itertools.combinations("abcdefghi"[:level], 2)]
        while True:
            edges = [pair for pair in pairs if random.random() < self.density]
            random.shuffle(edges)
            question = " ".join(["clique", *edges])
            # an eighth of all problems is kept out of training by what they say; all letters must appear
            whole = len(neighbours(edges)) == level and len(edges) < len(pairs)
            if whole and (split == "train") == bool(Key.root(0).fold(question).uint64() % 8):
                break
        return Problem(
            id=f"{self.name}/{split}/{index}",
            task=self.name,
            prompt=(Turn("user", question),),
            reference={"edges": edges, "clique": largest_of(edges)},
            difficulty=level,
        )

    def verify(self, response: str, problem: Problem) -> Verdict:
        answer = split_thought(response).answer or ""
        if len(answer) > 80 or not re.fullmatch(r"[a-z](,? +[a-z])*", answer):
            return Verdict("unparsable", detail="expected letters such as a c d after </think>")
        letters = sorted(re.findall(r"[a-z]", answer))
        said = " ".join(letters)
        gap = apart(letters, neighbours(problem.reference["edges"]))
        if gap:
            return Verdict("wrong", answer=said, detail=f"{gap} is no edge")
        largest = len(problem.reference["clique"])
        outcome = "right" if len(letters) == largest else "wrong"
        return Verdict(outcome, answer=said, detail=f"{len(letters)} of {largest}")

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str:
        words, answer = (bound if style == "long" else grow)(problem, key.random(), slips)
        return join_thought("" if style == "direct" else " ".join(words), " ".join(answer))

    def corrupt(self, problem: Problem, key: Key) -> str:
        random, clique = key.random(), problem.reference["clique"]
        near = neighbours(problem.reference["edges"])
        wrong = [[v for v in clique if v != drop] for drop in clique]
        swaps = [sorted({*clique, new} - {old}) for new in near for old in clique]
        wrong += [letters for letters in swaps if apart(letters, near)]
        words, _ = grow(problem, random, 0.0)
        return join_thought(" ".join(words), " ".join(random.choice(wrong)))
