"""Stage 3: pictures that follow each rule, and pictures that break it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from strop.curators.visual import STYLES, Author, Drawing, Rule, Style
from strop.curators.visual._by_grammar import GrammarAuthor
from strop.keys import Key
from strop.piece import piece


@piece
class ImageSynthesis:
    """Draws five pictures that follow a rule and three that break it, in one or more styles.

    The first four are the question, the fifth is the answer, the three are distractors. Groups with a blank picture
    (99.5 % of one colour) or with two options that are nearly the same are dropped; the four of the question may
    repeat, as they do where things alternate. A model's author writes two scripts for each group, one that draws the
    five and one that draws the three; they run in the sandbox.

    Source: VisualSphinx (arXiv:2505.23977, section 3.3).
    Departures: the code counts pairs within 2 of 256 bits of a hash that sees no colour, over all eight pictures, and
    drops groups with two of them; here one pair among the options is enough, and the hash sees colour. The paper draws
    every rule in all styles; `styles_each` says how many, drawn at random.

    >>> from strop.curators.visual._by_grammar import exam
    >>> from strop.curators.visual.seed_abstraction import SeedAbstraction
    >>> rules = SeedAbstraction()(exam(1, Key.root(0)), Key.root(0))
    >>> [drawing] = ImageSynthesis(styles=("dark",))(rules, Key.root(0))
    >>> drawing.style, len(drawing.follow), len(drawing.broken), drawing.follow[0].shape
    ('dark', 5, 3, (224, 224, 3))
    """

    styles: Annotated[tuple[Style, ...], Field(min_length=1)] = STYLES
    """Styles to choose from."""
    styles_each: Annotated[int, Field(ge=1)] = 1
    """Styles in which each rule is drawn; paper 3."""

    def __call__(self, rows: Sequence[Rule], key: Key, author: Author | None = None) -> list[Drawing]:
        author = author or GrammarAuthor()
        return [drawing for rule in rows for drawing in self._draw(rule, author, key.fold(rule.id))]

    def _draw(self, rule: Rule, author: Author, key: Key) -> list[Drawing]:
        # late, because listing rooms loads no NumPy
        from strop.curators.visual._images import fault

        styles = key.random().sample(self.styles, min(self.styles_each, len(self.styles)))
        if rule.dropped:
            return [Drawing(id=f"{rule.id}-{styles[0]}", rule=rule, style=styles[0], dropped=rule.dropped)]
        made = [replace(author.draw(rule, style, key.fold(style)), id=f"{rule.id}-{style}") for style in styles]
        return [
            each if each.dropped else replace(each, dropped=fault((*each.follow, *each.broken))) for each in made
        ]  # fmt: skip
