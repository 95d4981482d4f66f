"""Stage 2: a genetic algorithm over rules."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from strop.curators.visual import Author, Rule
from strop.curators.visual._by_grammar import GrammarAuthor
from strop.curators.visual._member import Member, fitness
from strop.keys import Key
from strop.piece import piece


@piece
class RuleEvolution:
    r"""Breeds rules on islands, one for each tag: elites stay, children take bullets of two parents, some mutate.

    In each generation an island of size s keeps `max(1, int(0.1 s))` elites and gets children up to `int(1.2 s)`. A
    child comes from two different parents and is replaced by its own mutation with probability 0.15. Fitness is

    .. math:: \Big( \frac{0.4}{1 + 0.2\,\text{used}} + 0.4 \min(1, 0.5 + 0.1\,\text{depth}) + 0.2\,U(0.8, 1) \Big)
              \cdot 1.1^{[\text{mutated}]}

    so it spreads use and rewards descent; quality comes from the filter afterwards. A parent is drawn evenly from those
    never used with probability 0.4, where there are any, else with weight 1/(used + 1). Every third generation each
    island sends copies of a random tenth of its rules to one other. What comes back is every rule that ever lived,
    marked `repeats` where an earlier one says the same, and `low score` below 12 of 15 or with a feasibility below 3.

    Source: VisualSphinx (arXiv:2505.23977, section 3.2) and its code.
    Departures: the code drops every member of a group of repeats, here the earliest stays; migration is a tenth of each
    island, where the code takes a twentieth of the first one. An island of one rule stays as it is.

    >>> a = Rule(id="a", tag="x", bullets=("The size of the shapes goes up by 1 each time.",))
    >>> b = Rule(id="b", tag="x", bullets=("The dot on the edge moves 1 place clockwise each time.",))
    >>> rules = RuleEvolution(generations=1, mutation=0.0)([a, b], Key.root(0))
    >>> [(rule.id, rule.parents != (), rule.used) for rule in rules]
    [('a', False, 1), ('b', False, 1), ('g1-0', True, 0)]
    >>> set(rules[2].bullets) == {*a.bullets, *b.bullets}
    True
    """

    generations: Annotated[int, Field(ge=0, le=100)] = 9
    """Rounds of breeding; paper 10, its code 9. Each makes a fifth more rules than the one before."""
    elite: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of an island that lives on."""
    growth: Annotated[float, Field(ge=1, le=4)] = 1.2
    """Size of an island over its size a generation before."""
    mutation: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Probability that a child is replaced by its mutation."""
    fresh: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Probability that a parent is drawn from those never used."""
    migration: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of an island that is sent to another."""
    every: Annotated[int, Field(ge=1)] = 3
    """Generations between migrations."""
    total: Annotated[int, Field(ge=3, le=15)] = 12
    """Least sum of the scores for format, content and feasibility, 1 to 5 each."""
    feasible: Annotated[int, Field(ge=1, le=5)] = 3
    """Least score for feasibility."""

    def __call__(self, rows: Sequence[Rule], key: Key, author: Author | None = None) -> list[Rule]:
        author = author or GrammarAuthor()
        everybody = [Member(rule, rule.used) for rule in rows if not rule.dropped]
        islands: dict[str, list[Member]] = {}
        for member in everybody:
            islands.setdefault(member.rule.tag, []).append(member)
        for number in range(1, self.generations + 1):
            born = 0
            for tag, island in islands.items():
                own = key.fold("generation", number, tag)
                elites, children = self._next(island, own, author, f"g{number}", born)
                born += len(children)
                everybody += children
                islands[tag] = elites + children
            if number % self.every == 0 and len(islands) > 1:
                self._migrate(islands, key.fold("migration", number))
        made = [replace(member.rule, used=member.used) for member in everybody]
        return self._filtered([*(rule for rule in rows if rule.dropped), *made], author)

    def _next(
        self, island: list[Member], key: Key, author: Author, name: str, born: int
    ) -> tuple[list[Member], list[Member]]:
        """Who lives on, and the children; a child that its author could not write is missing."""
        noise = key.fold("fitness").random()
        ranked = sorted(island, key=lambda member: -fitness(member.rule, member.used, noise.uniform(0.8, 1.0)))
        elites = ranked[: max(1, int(self.elite * len(island)))]
        children: list[Member] = []
        for place in range(int(self.growth * len(island)) - len(elites) if len(island) > 1 else 0):
            own = key.fold("child", place)
            one = self._parent(island, own.fold("one"))
            other = self._parent([member for member in island if member is not one], own.fold("other"))
            bullets = author.cross(one.rule, other.rule, own.fold("cross"))
            chance = own.random()
            mutated = bullets is not None and chance.random() < self.mutation
            if bullets is not None and mutated:
                bullets = author.mutate(bullets, own.fold("mutate"))
            if bullets is None:
                continue
            one.used += 1
            other.used += 1
            parents = one.rule, other.rule
            children.append(
                Member(
                    Rule(
                        id=f"{name}-{born + len(children)}", bullets=bullets, mutated=mutated,
                        tag=chance.choice(parents).tag, parents=(parents[0].id, parents[1].id),
                        depth=max(parent.depth for parent in parents) + 1,
                    )
                )
            )  # fmt: skip
        return elites, children

    def _parent(self, island: list[Member], key: Key) -> Member:
        chance = key.random()
        unused = [member for member in island if member.used == 0]
        if unused and chance.random() < self.fresh:
            return chance.choice(unused)
        return chance.choices(island, weights=[1 / (member.used + 1) for member in island])[0]

    def _migrate(self, islands: dict[str, list[Member]], key: Key) -> None:
        """All leave before any arrives."""
        leaving = {}
        for tag, island in islands.items():
            chance = key.fold(tag).random()
            goal = chance.choice([other for other in islands if other != tag])
            leaving[tag] = goal, chance.sample(island, min(len(island), int(self.migration * len(island))))
        for goal, members in leaving.values():
            islands[goal] += [member for member in members if member not in islands[goal]]

    def _filtered(self, rules: list[Rule], author: Author) -> list[Rule]:
        kept = [rule for rule in rules if not rule.dropped]
        reasons = {rule.id: "repeats" for rule, said in zip(kept, author.repeats(kept), strict=True) if said}
        for rule in kept:
            if rule.id not in reasons:
                scores = author.score(rule)
                if sum(scores) < self.total or scores[2] < self.feasible:
                    reasons[rule.id] = "low score"
        return [replace(rule, dropped=reasons.get(rule.id, rule.dropped)) for rule in rules]
