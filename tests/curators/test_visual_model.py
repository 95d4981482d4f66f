"""The author that is a language model: what it is asked, and that nothing it answers does harm."""

import json
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("PIL", reason="pictures need Pillow: pip install 'strop[vision]'")

from strop import sandbox
from strop.contracts._examples import HOSTILE
from strop.curators.visual import SIZE, Rule, Sample
from strop.curators.visual._by_model import ModelAuthor, read_object
from strop.curators.visual._scripts import draw_group
from strop.curators.visual.image_synthesis import ImageSynthesis
from strop.curators.visual.puzzle_assembly import PuzzleAssembly
from strop.curators.visual.rule_evolution import RuleEvolution
from strop.curators.visual.seed_abstraction import SeedAbstraction
from strop.errors import SandboxError
from strop.keys import Key

try:
    sandbox.require()
    WHY = ""
except SandboxError as error:
    WHY = str(error)
sandboxed = pytest.mark.skipif(bool(WHY), reason=WHY)

RULE = Rule(id="a", tag="number", bullets=("One square more each time.",))
SAMPLE = Sample(id="s", question="Next?", explanation="one more", options=("3", "4"), answer="B", image=b"png")
FOLLOW = """
from PIL import Image, ImageDraw
for n in range(5):
    image = Image.new("RGB", (320, 320), "white")
    for place in range(n + 1):
        ImageDraw.Draw(image).rectangle((10 + 60 * place, 100, 50 + 60 * place, 220), fill="red")
    image.save(f"out/follow_{n}.png")
"""
BREAK = """
from PIL import Image, ImageDraw
for n, colour in enumerate(("blue", "green", "black")):
    image = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((20, 20, 280, 180), fill=colour)
    image.save(f"out/break_{n}.png")
"""


def model(replies):
    """Answers with the reply whose key stands in the question; counts the questions."""
    asked = Counter()

    def complete(messages):
        [message] = messages
        content = message["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        key = next(key for key in replies if key in text)
        asked[key] += 1
        if not isinstance(content, str):
            asked[content[1]["image_url"]["url"]] += 1
        return replies[key]

    return complete, asked


def bullets(*texts):
    return json.dumps({"bullets": texts, "tag": "number"})


def test_a_sample_is_kept_where_the_model_finds_its_answer():
    complete, asked = model({"Which option": 'So: {"answer": "b"}', "Abstract": bullets("one", "two")})
    [rule] = SeedAbstraction()([SAMPLE], Key.root(0), ModelAuthor(complete))
    assert rule == Rule(id="s", bullets=("one", "two"), tag="number")
    assert asked == {"Which option": 1, "Abstract": 1, "data:image/png;base64,cG5n": 2}
    for reply in ('{"answer": "A"}', '{"answer": 7}', "B", ""):
        complete, asked = model({"Which option": reply, "Abstract": bullets("one")})
        [rule] = SeedAbstraction()([SAMPLE], Key.root(0), ModelAuthor(complete))
        assert (rule.dropped, asked["Abstract"]) == ("answer not recovered", 0)


def test_rules_are_bred_scored_and_compared():
    replies = {
        "Combine": bullets("a triangle turns", "it grows"),
        "Score": '{"format": 4, "content": 4, "feasibility": 4}',
    }
    complete, asked = model(replies)
    rows = [Rule(id="a", tag="x", bullets=("squares",)), Rule(id="b", tag="x", bullets=("circles in a ring",))]
    rules = RuleEvolution(generations=1, mutation=0.0)(rows, Key.root(0), ModelAuthor(complete))
    assert [rule.bullets for rule in rules[2:]] == [("a triangle turns", "it grows")]
    assert asked == {"Combine": 1, "Score": 3}
    assert not any(rule.dropped for rule in rules)
    for scores, expected in (
        ((5, 4, 3), ""),
        ((4, 4, 3), "low score"),
        ((5, 5, 2), "low score"),
        ((5, 5, "5"), "low score"),
    ):
        reply = json.dumps(dict(zip(("format", "content", "feasibility"), scores, strict=True)))
        author = ModelAuthor(model({"Score": reply})[0])
        assert RuleEvolution(generations=0)(rows[:1], Key.root(0), author)[0].dropped == expected


def test_nearly_the_same_words_are_a_repeat_of_the_earliest():
    author = ModelAuthor(model({})[0])
    texts = ["Each square turns right by ninety degrees.", "Every colour comes once in each row.",
             "Each square turns right by ninety degree", "each  SQUARE turns right by ninety degrees."]  # fmt: skip
    rules = [Rule(id=str(number), tag="", bullets=(text,)) for number, text in enumerate(texts)]
    assert author.repeats(rules) == [False, False, True, True]
    assert ModelAuthor(model({})[0], near=1e-9).repeats(rules) == [False, False, False, True]


def survives(reply):
    author = ModelAuthor(lambda messages: reply)
    assert author.abstract(SAMPLE) is None
    assert author.cross(RULE, RULE, Key.root(0)) is None
    assert author.mutate(RULE.bullets, Key.root(0)) is None
    assert author.score(RULE) == (1, 1, 1)
    return author.draw(RULE, "plain", Key.root(0)).dropped == "no script"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(reply=st.text())
def test_whatever_a_model_says_is_survived(reply):
    assert survives(reply)


def test_hostile_answers_are_survived_at_once():
    began = time.process_time()
    for reply in (*HOSTILE, "{" * 60_000, '{"bullets":' * 9000, "```python\n" * 9000, "```\n" + "x" * 90_000):
        assert survives(reply), reply[:50]
    assert time.process_time() - began < 5


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_objects_of_any_shape_are_survived(value):
    names = ("answer", "bullets", "tag", "format", "content", "feasibility")
    said = json.dumps(dict.fromkeys(names, value))
    assert read_object(f"well {said} done") == dict.fromkeys(names, value)
    author = ModelAuthor(lambda messages: said)
    assert author.abstract(SAMPLE) is None
    found = author.cross(RULE, RULE, Key.root(0))
    assert found is None or all(isinstance(each, str) and each for each in found)
    assert all(1 <= score <= 5 for score in author.score(RULE))


@sandboxed
def test_scripts_of_a_model_become_a_puzzle_that_nobody_checked():
    replies = {"draws 5 pictures": f"Here:\n```python{FOLLOW}```\n", "draws 3 pictures": f"```python{BREAK}```"}
    complete, asked = model(replies)
    [drawing] = ImageSynthesis(styles=("outline",))([RULE], Key.root(0), ModelAuthor(complete))
    assert drawing.dropped == ""
    assert asked == {"draws 5 pictures": 1, "draws 3 pictures": 1}
    red = [(image == (255, 0, 0)).all(axis=2).mean() for image in drawing.follow]
    expected = [(n + 1) * 41 * 121 / 320**2 for n in range(5)]
    np.testing.assert_allclose(red, expected, atol=0.02)
    assert {image.shape for image in (*drawing.follow, *drawing.broken)} == {(SIZE, SIZE, 3)}
    assert tuple(drawing.broken[0][0, 0]) == (255, 255, 255), "what is transparent is white"
    [puzzle] = PuzzleAssembly()([drawing], Key.root(0))
    assert (puzzle.checked, puzzle.dropped, len(puzzle.options)) == (False, "", 4)


@sandboxed
@pytest.mark.parametrize(
    ("follow", "expected"),
    [
        ("raise ValueError", "script failed"),
        ("import os; os._exit(0)", "script left pictures out"),
        (FOLLOW.replace("follow_{n}", "../follow_{n}"), "script left pictures out"),
        ("for n in range(5): open(f'out/follow_{n}.png', 'wb').write(b'PNG')", "not a picture"),
        ("for n in range(5): open(f'out/follow_{n}.png', 'wb').write(bytes(1 << 20))", "not a picture"),
        ("for n in range(5): open(f'out/follow_{n}.png', 'wb').write(bytes(2 << 20))", "pictures too large"),
        (FOLLOW.replace("(320, 320)", "(2100, 2100)"), "not a picture"),
        ("while True: open('tmp/x', 'a').write('x' * 1000000)", "script failed"),
    ],
    ids=["fails", "nothing", "elsewhere", "no PNG", "zeros", "large", "bomb", "disk"],
)
def test_scripts_that_go_wrong_cost_their_own_row(follow, expected):
    assert draw_group(follow, BREAK) == expected


def test_without_a_sandbox_no_script_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox._run._require_bwrap.cache_clear()
    with pytest.raises(SandboxError, match="--allow-unsandboxed"):
        draw_group(f"open({str(tmp_path / 'ran')!r}, 'w')", BREAK)
    assert not (tmp_path / "ran").exists()
    assert len(draw_group(FOLLOW, BREAK, unsandboxed=True)) == 8
    sandbox._run._require_bwrap.cache_clear()
