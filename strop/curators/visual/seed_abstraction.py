"""Stage 1: from explained puzzles to abstract rules."""

from collections.abc import Sequence
from dataclasses import replace

from strop.curators.visual import Author, Rule, Sample
from strop.curators.visual._by_grammar import GrammarAuthor
from strop.keys import Key
from strop.piece import piece


@piece
class SeedAbstraction:
    """Turns puzzles with explanations into rules of a few bullets, and keeps those that lead back to the answer.

    A puzzle is kept where its explanation, without the answer, gives the answer again. What is left of it then is its
    bullets and a tag; the tags are the islands of the next stage. Rules that say the same as an earlier one are marked
    `repeats`; a puzzle that fails is a rule without bullets, marked `answer not recovered`.

    Source: VisualSphinx (arXiv:2505.23977, section 3.1, stage 1).
    Departures: with the grammar the rule is inferred from the pictures, and the explanation is what it says; the paper
    has eight tags given by a model, the grammar six kinds of clauses.

    >>> from strop.curators.visual._by_grammar import exam
    >>> rules = SeedAbstraction()(exam(5, Key.root(0)), Key.root(0))
    >>> len(rules), all(rule.bullets and rule.depth == 0 for rule in rules if not rule.dropped)
    (5, True)
    """

    def __call__(self, rows: Sequence[Sample], key: Key, author: Author | None = None) -> list[Rule]:
        author = author or GrammarAuthor()
        made = [_rule(sample, author) for sample in rows]
        kept = [rule for rule in made if not rule.dropped]
        again = {rule.id for rule, said in zip(kept, author.repeats(kept), strict=True) if said}
        return [replace(rule, dropped="repeats") if rule.id in again else rule for rule in made]


def _rule(sample: Sample, author: Author) -> Rule:
    if sample.dropped:
        return Rule(id=sample.id, bullets=(), tag="", dropped=sample.dropped)
    found = author.abstract(sample)
    if found is None:
        return Rule(id=sample.id, bullets=(), tag="", dropped="answer not recovered")
    return Rule(id=sample.id, bullets=found[0], tag=found[1])
