"""Random satisfiable formulas of short clauses."""

import itertools
import re
from typing import Annotated, ClassVar

from pydantic import Field

from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Turn, Verdict
from strop.tasks import Style
from strop.tasks._k_sat import dpll, find_all, holds, letter, spell, text
from strop.text import join_thought, split_thought

Level = Annotated[int, Field(ge=3, le=6)]


@piece
class KSat:
    """Make every clause of `sat a|-b|c&-a|c|d` true, answering `a=1 b=0 c=1 d=0`; level `n` has `n` variables.

    Formulas are drawn uniformly from the satisfiable ones: a formula without a solution is drawn again, so that no
    planted solution shines through. The long style is DPLL: `try` decides the first open variable by a coin, `so` is
    unit propagation with its clause in front, a falsified clause sends it `back` to the last decision.
    Source: the random k-SAT model of Mitchell, Selman and Levesque, AAAI 1992. Departures: rejection as above, and
    fewer clauses than the hardest ratio (4.27 for k = 3), so that a formula fits a short context.

    >>> from strop.records import Problem, Turn
    >>> clauses = {"variables": 2, "clauses": [[1, 2], [-1, 2]], "solution": "a=0 b=1"}
    >>> problem = Problem(id="k_sat/train/0", task="k_sat", prompt=(Turn("user", "sat a|b&-a|b"),), reference=clauses)
    >>> [KSat().verify(answer, problem).outcome for answer in ("a=1 b=1", "a=1 b=0", "b")]
    ['right', 'wrong', 'unparsable']
    """

    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = (3, 4)
    """Difficulties to draw from, evenly: variables."""
    k: Annotated[int, Field(ge=2, le=3)] = 3
    """Literals in a clause."""
    ratio: Annotated[float, Field(ge=1, le=4.5)] = 2.25
    """Clauses per variable, as far as there are so many different ones."""
    seed: int = 0
    """Which stream of problems; two seeds share nothing."""

    name: ClassVar[str] = "k_sat"
    verifier: ClassVar[str] = ""

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, index: int) -> Problem:
        random = Key.root(self.seed).fold(self.name, split, index).random()
        level = random.choice(self.levels)
        triples = itertools.combinations(range(1, level + 1), self.k)
        signs = list(itertools.product((1, -1), repeat=self.k))
        every = [[v * s for v, s in zip(vs, ss, strict=True)] for vs in triples for ss in signs]
        # all clauses over the same variables leave no solution, three quarters of them leave some
        count = min(round(self.ratio * level), len(every) * 3 // 4)
        while True:
            clauses = random.sample(every, count)
            solutions = find_all(clauses, level)
            question = "sat " + "&".join(map(text, clauses))
            # small problems repeat, so an eighth of them is kept out of training by what they say
            if solutions and (split == "train") == bool(Key.root(0).fold(question).uint64() % 8):
                break
        return Problem(
            id=f"{self.name}/{split}/{index}",
            task=self.name,
            prompt=(Turn("user", question),),
            reference={"variables": level, "clauses": clauses, "solution": spell(solutions[0])},
            difficulty=level,
        )

    def verify(self, response: str, problem: Problem) -> Verdict:
        answer = split_thought(response).answer or ""
        count, clauses = problem.reference["variables"], problem.reference["clauses"]
        if len(answer) > 80 or not re.fullmatch(r"[a-z]=[01](,? *[a-z]=[01])*", answer):
            return Verdict("unparsable", detail="expected an assignment such as a=1 b=0 after </think>")
        pairs = sorted(re.findall(r"[a-z]=[01]", answer))
        said = " ".join(pairs)
        if [pair[0] for pair in pairs] != [letter(v) for v in range(1, count + 1)]:
            return Verdict("wrong", answer=said, detail=f"expected each variable from a to {letter(count)} once")
        chosen = tuple(pair[2] == "1" for pair in pairs)
        broken = [text(clause) for clause in clauses if not holds(clause, chosen)]
        return Verdict("wrong" if broken else "right", answer=said, detail=f"{broken[0]} is false" if broken else "")

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str:
        words, answer = dpll(problem, key.random(), slips, guess=style == "long")
        return join_thought("" if style == "direct" else " ".join(words), answer)

    def corrupt(self, problem: Problem, key: Key) -> str:
        random, count, clauses = key.random(), problem.reference["variables"], problem.reference["clauses"]
        solutions = set(find_all(clauses, count))
        wrong = random.choice([c for c in itertools.product((False, True), repeat=count) if c not in solutions])
        return join_thought(" ".join(dpll(problem, random, 0.0, guess=False)[0]), spell(wrong))
