"""The author that is a language model: it writes the rules, and scripts that draw; the scripts run in the sandbox.

Whatever a model says is read with bounds and checked; what makes no sense is None, or a drawing with the reason.
"""

import base64
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from strop.curators.visual import STYLES, Drawing, Rule, Sample, Style
from strop.curators.visual._scripts import draw_group
from strop.keys import Key

Complete = Callable[[list[dict[str, Any]]], str]
"""Messages as the OpenAI protocol has them, to the text of the answer."""
TAGS = ("number", "position", "shape", "colour", "symmetry", "rotation", "combination", "other")
LONGEST = 50_000
"""Characters of an answer that are read."""
_BULLETS = "a JSON object with `bullets`, a list of exactly 5 short sentences"
_SKETCH: dict[Style, str] = {
    "plain": "plain filled shapes on white",
    "dark": "bright shapes on a dark background",
    "outline": "outlines like a pen drawing on paper",
}


class ModelAuthor:
    """Asks a model for rules and drawing scripts.

    Source: VisualSphinx (arXiv:2505.23977), stages 1 to 3. Departures: the prompts are strop's own; rules are compared
    by the three-letter sequences in them where the paper has sentence embeddings.
    """

    def __init__(self, complete: Complete, *, unsandboxed: bool = False, near: float = 0.2) -> None:
        self._complete = complete
        self._unsandboxed = unsandboxed
        self._near = near
        """Cosine distance below which two rules say the same; the paper's number, for another measure."""

    def abstract(self, sample: Sample) -> tuple[tuple[str, ...], str] | None:
        """Asks twice: for the answer, from question and explanation; then for bullets and a tag, where it was right."""
        options = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCDEFGHIJ", sample.options, strict=False))
        said = self._ask(
            f"{sample.question}\n{options}\n\nHow it is solved:\n{sample.explanation}\n\n"
            "Which option does this lead to? Answer with a JSON object with `answer`, one letter.", sample.image,
        )  # fmt: skip
        if str(said.get("answer", "")).strip().upper() != sample.answer:
            return None
        said = self._ask(
            f"How a visual puzzle is solved:\n{sample.explanation}\n\nAbstract the rule of its pictures, so that other "
            f"puzzles can be made with it. Answer with {_BULLETS}, and `tag`, one of {', '.join(TAGS)}.",
            sample.image,
        )
        bullets, tag = _bullets(said), said.get("tag")
        return (bullets, tag if isinstance(tag, str) and tag in TAGS else "other") if bullets else None

    def cross(self, one: Rule, other: Rule, key: Key) -> tuple[str, ...] | None:
        return _bullets(
            self._ask(
                f"Two rules for sequences of pictures:\n{_list(one.bullets)}\n\nand\n{_list(other.bullets)}\n\n"
                f"Combine parts of both into one new rule that can be drawn. Answer with {_BULLETS}."
            )
        )

    def mutate(self, bullets: tuple[str, ...], key: Key) -> tuple[str, ...] | None:
        way = key.random().choice(
            ("Rewrite one sentence", "Replace one sentence by a new one", "Drop one, add another")
        )
        return _bullets(
            self._ask(
                f"A rule for a sequence of pictures:\n{_list(bullets)}\n\n{way}, so that another rule comes of it that "
                f"can be drawn. Answer with {_BULLETS}."
            )
        )

    def score(self, rule: Rule) -> tuple[int, int, int]:
        said = self._ask(
            f"A rule for a sequence of pictures:\n{_list(rule.bullets)}\n\nScore from 1 to 5: `format` (five clear "
            "sentences), `content` (an interesting rule, no contradiction), `feasibility` (a short program can draw "
            "it, and a reader can find it). Answer with a JSON object with these three."
        )
        scores = [said.get(name) for name in ("format", "content", "feasibility")]
        marks = [each if isinstance(each, int) and 1 <= each <= 5 else 1 for each in scores]
        return marks[0], marks[1], marks[2]

    def repeats(self, rules: Sequence[Rule]) -> list[bool]:
        """Rules nearer to an earlier one, itself no repeat, than the distance."""
        seen: list[dict[str, float]] = []
        found = []
        for rule in rules:
            mine = _letters(" ".join(rule.bullets))
            # a product of unit vectors: 1 for the same, 0 for nothing in common
            same = any(sum(w * other.get(t, 0.0) for t, w in mine.items()) > 1 - self._near for other in seen)
            found.append(same)
            if not same:
                seen.append(mine)
        return found

    def draw(self, rule: Rule, style: Style, key: Key) -> Drawing:
        """Two scripts, each run by itself."""
        assert style in STYLES
        scripts = []
        for count, name, what in (
            (5, "follow", "a sequence that follows the rule exactly"),
            (3, "break", "what somebody who has not understood the rule could take for its fifth picture"),
        ):
            reply = self._text(
                f"A rule for a sequence of five pictures:\n{_list(rule.bullets)}\n\nWrite a Python script that draws "
                f"{count} pictures, {what}, in the style: {_SKETCH[style]}. It uses the standard library, NumPy and "
                f"Pillow alone, and saves 320 x 320 PNG files out/{name}_0.png to out/{name}_{count - 1}.png. No text "
                "in the pictures. Answer with the script in one ```python block."
            )
            scripts.append(_code(reply))
        if not all(scripts):
            return Drawing(id=rule.id, rule=rule, style=style, dropped="no script")
        pictures = draw_group(scripts[0], scripts[1], unsandboxed=self._unsandboxed)
        if isinstance(pictures, str):
            return Drawing(id=rule.id, rule=rule, style=style, dropped=pictures)
        return Drawing(id=rule.id, rule=rule, style=style, follow=pictures[:5], broken=pictures[5:])

    def _ask(self, text: str, image: bytes = b"") -> dict[str, Any]:
        return read_object(self._text(text, image))

    def _text(self, text: str, image: bytes = b"") -> str:
        content: Any = text
        if image:
            url = "data:image/png;base64," + base64.b64encode(image).decode()
            content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
        return self._complete([{"role": "user", "content": content}])[:LONGEST]


def read_object(reply: str) -> dict[str, Any]:
    """The first JSON object in an answer; empty where there is none.

    >>> read_object('Sure! {"answer": "B"} I hope {this} helps'), read_object("{" * 9)
    ({'answer': 'B'}, {})
    """
    place = -1
    for _ in range(20):
        place = reply.find("{", place + 1, LONGEST)
        if place < 0:
            break
        try:
            found = json.JSONDecoder().raw_decode(reply, place)[0]
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _bullets(said: dict[str, Any]) -> tuple[str, ...] | None:
    found = said.get("bullets")
    if not isinstance(found, list) or not 1 <= len(found) <= 8:
        return None
    texts = [" ".join(each.split()) for each in found if isinstance(each, str)]
    return tuple(texts) if len(texts) == len(found) and all(0 < len(text) <= 500 for text in texts) else None


def _code(reply: str) -> str:
    """What stands in the first fenced block."""
    parts = re.split(r"^```[a-z0-9]*[ \t\r]*$", reply, maxsplit=2, flags=re.MULTILINE)
    return parts[1] if len(parts) > 2 and parts[1].strip() else ""


def _list(bullets: Sequence[str]) -> str:
    return "\n".join(f"- {bullet}" for bullet in bullets)


def _letters(text: str) -> dict[str, float]:
    """How often each three letters stand in a row in a text, as a vector of length 1."""
    plain = " ".join(text.lower().split())
    counts: dict[str, float] = {}
    for place in range(max(1, len(plain) - 2)):
        part = plain[place : place + 3]
        counts[part] = counts.get(part, 0.0) + 1.0
    norm = sum(value * value for value in counts.values()) ** 0.5
    return {part: value / norm for part, value in counts.items()}
