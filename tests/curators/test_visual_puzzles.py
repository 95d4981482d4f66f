"""Pictures, puzzles and whole data sets of the grammar."""

import itertools
import json
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("PIL", reason="pictures need Pillow: pip install 'strop[vision]'")

from PIL import Image

from strop.curators.visual import SIZE, STYLES, Drawing, Rule
from strop.curators.visual._by_grammar import GrammarAuthor, exam
from strop.curators.visual._draw import picture
from strop.curators.visual._grammar import ATTRIBUTES
from strop.curators.visual._images import NEAR, blank, distance, fault, fingerprint
from strop.curators.visual._rows import Seen, _save
from strop.curators.visual.image_synthesis import ImageSynthesis
from strop.curators.visual.puzzle_assembly import PuzzleAssembly
from strop.curators.visual.rule_evolution import RuleEvolution
from strop.curators.visual.seed_abstraction import SeedAbstraction
from strop.curators.visual.visual_sphinx import VisualSphinx
from strop.errors import ConfigError, TaskError
from strop.keys import Key

UP = "The size of the shapes goes up by 1 each time."


def panels(count, seed=0):
    chance = random.Random(seed)
    return [tuple(chance.randrange(n) for n in ATTRIBUTES.values()) for _ in range(count)]


@pytest.mark.parametrize("style", STYLES)
def test_every_attribute_can_be_seen(style):
    shown = {panel: picture(panel, style) for panel in panels(12)}
    for panel, image in shown.items():
        assert image.shape == (SIZE, SIZE, 3)
        assert not blank(image)
        for place, n in enumerate(ATTRIBUTES.values()):
            for value in random.Random(0).sample(sorted(set(range(n)) - {panel[place]}), min(3, n - 1)):
                other = picture((*panel[:place], value, *panel[place + 1 :]), style)
                changed = np.abs(image.astype(int) - other).max(axis=2)
                assert (changed > 30).sum() >= 25, (panel, place, value)


def test_shapes_keep_clear_of_each_other_and_of_the_dot():
    # as many shapes as are drawn can be counted: parts that hang together, less frame, dot and background
    for count, shape in itertools.product(range(12), range(8)):
        image = picture((count, shape, 0, 0, 3, 0, 0), "plain")
        red = (image == (200, 30, 30)).all(axis=2)
        assert parts(red) == count + 1, (count, shape)


def parts(mask):
    """How many areas of a mask hang together: flood filling, one stack."""
    left, found = {tuple(each) for each in np.argwhere(mask).tolist()}, 0
    while left:
        found, waiting = found + 1, [left.pop()]
        while waiting:
            y, x = waiting.pop()
            for near in itertools.product((y - 1, y, y + 1), (x - 1, x, x + 1)):
                if near in left:
                    left.remove(near)
                    waiting.append(near)
    return found


def test_fingerprint_against_a_slow_transform():
    image = picture((4, 5, 2, 0, 3, 3, 1), "dark")
    small = [[[image[y * 7 : y * 7 + 7, x * 7 : x * 7 + 7, c].mean() for x in range(32)] for y in range(32)]
             for c in range(3)]  # fmt: skip
    bits = []
    for colour in small:
        plane = np.array(colour)
        waves = []
        for a, b in itertools.product(range(16), repeat=2):
            ys = np.array([np.cos(np.pi * (y + 0.5) * a / 32) for y in range(32)])
            xs = np.array([np.cos(np.pi * (x + 0.5) * b / 32) for x in range(32)])
            waves.append(float((plane * ys[:, None] * xs[None, :]).sum()))
        bits += [wave > np.median(waves) for wave in waves]
    for colour in small:
        bits += [np.mean(colour) > 4 * step + 2 for step in range(64)]
    expected = sum(1 << place for place, bit in enumerate(reversed(bits)) if bit)
    # waves that are the median to the last digit may fall on either side
    assert distance(fingerprint(image), expected) <= 2


def test_fingerprint_sees_colour_and_background_and_not_noise():
    image = picture((4, 0, 0, 0, 3, 0, 0), "plain")
    for place in (2, 6):
        panel = [4, 0, 0, 0, 3, 0, 0]
        panel[place] = 1
        assert distance(fingerprint(image), fingerprint(picture(tuple(panel), "plain"))) > NEAR
    noise = np.random.default_rng(0).integers(-1, 2, image.shape)
    noisy = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
    assert distance(fingerprint(image), fingerprint(image.copy())) == 0
    assert distance(fingerprint(image), fingerprint(noisy)) < distance(fingerprint(image), fingerprint(image[::-1]))


def test_blank_and_equal_pictures_are_refused():
    good = [picture(panel, "plain") for panel in panels(8)]
    white = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
    speck = white.copy()
    speck[:8, :8] = 0
    assert [fault(good), fault([white, *good[1:]]), fault([*good[:7], speck])] == ["", "blank picture", "blank picture"]
    assert fault([*good[:7], good[4]]) == "options nearly the same"
    assert fault([good[1], *good[1:]]) == "", "pictures of the question may repeat"


def test_synthesis_marks_what_it_refuses(monkeypatch):
    rule = Rule(id="a", tag="", bullets=(UP,))
    gone = replace(rule, id="b", dropped="repeats")
    nonsense = replace(rule, id="c", bullets=("odd",))
    actual = [drawing.dropped for drawing in ImageSynthesis()([rule, gone, nonsense], Key.root(0))]
    assert actual == ["", "repeats", "no pictures follow it"]
    white = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)

    class Blank(GrammarAuthor):
        def draw(self, rule, style, key):
            return Drawing(id="x", rule=rule, style=style, follow=(white,) * 5, broken=(white,) * 3)

    [drawing] = ImageSynthesis()([rule], Key.root(0), Blank())
    assert drawing.dropped == "blank picture"
    three = ImageSynthesis(styles_each=3)([rule], Key.root(0))
    assert {drawing.style for drawing in three} == set(STYLES)
    assert len({drawing.id for drawing in three}) == 3


@pytest.fixture(scope="module")
def drawings():
    rules = SeedAbstraction()(exam(40, Key.root(0)), Key.root(0))
    rules = RuleEvolution(generations=2)(rules, Key.root(0))
    return ImageSynthesis(styles=("plain",))(rules, Key.root(0))


def test_the_answer_is_carried_through_the_shuffle(drawings):
    puzzles = PuzzleAssembly(variants=("default", "shuffled", "expanded"))(drawings, Key.root(0))
    kept = [puzzle for puzzle in puzzles if not puzzle.dropped]
    for puzzle in kept:
        right = [place for place, option in enumerate(puzzle.options) if option is puzzle.drawing.follow[4]]
        assert right == [puzzle.answer]
        assert puzzle.checked
        assert len(puzzle.options) == (10 if puzzle.variant == "expanded" else 4)
        prints = [fingerprint(option) for option in puzzle.options]
        assert min(distance(a, b) for a, b in itertools.combinations(prints, 2)) > NEAR
    default = [puzzle for puzzle in kept if puzzle.variant == "default"]
    shares = Counter(puzzle.answer for puzzle in default)
    assert set(shares) == {0, 1, 2, 3}
    assert max(shares.values()) < 0.4 * len(default)
    shuffled = [puzzle for puzzle in kept if puzzle.variant == "shuffled"]
    assert [puzzle.answer for puzzle in shuffled] == [0, 1, 2, 3] * (len(shuffled) // 4)
    expanded = [puzzle for puzzle in kept if puzzle.variant == "expanded"]
    assert len(expanded) > 20
    assert {puzzle.answer for puzzle in expanded} > {0, 9}


def test_ten_options_come_from_the_nearest_relatives(drawings):
    def near(drawing):
        """Rules at each distance in the graph of parents and children, level by level."""
        graph = {}
        for each in drawings:
            for parent in each.rule.parents:
                graph.setdefault(each.rule.id, set()).add(parent)
                graph.setdefault(parent, set()).add(each.rule.id)
        ring, seen = {drawing.rule.id}, {drawing.rule.id}
        while ring:
            ring = set().union(*(graph.get(name, set()) for name in ring)) - seen
            seen |= ring
            yield ring

    owner = {id(option): d.rule.id for d in drawings for option in d.broken}
    usable = {d.rule.id for d in drawings if not d.dropped}
    exact = total = 0
    for puzzle in PuzzleAssembly(variants=("expanded",))(drawings, Key.root(0)):
        if puzzle.dropped:
            continue
        counts = Counter(owner[id(option)] for option in puzzle.options if id(option) in owner)
        assert sorted(counts.values()) == [3, 3, 3]
        depth = {name: place for place, ring in enumerate(near(puzzle.drawing)) for name in ring}
        expected = sorted(depth[name] for name in usable if name in depth)[:2]
        actual = sorted(depth[name] for name in counts if name != puzzle.drawing.rule.id)
        # one whose pictures are nearly those that are there is passed over
        assert actual >= expected
        exact += actual == expected
        total += 1
    assert exact > 0.7 * total > 0


def test_a_second_right_option_is_found(drawings):
    good = next(d for d in drawings if not d.dropped)
    scenes = (*good.scenes[:5], good.scenes[4], *good.scenes[6:])
    [puzzle] = PuzzleAssembly()([replace(good, scenes=scenes)], Key.root(0))
    assert (puzzle.checked, puzzle.dropped) == (False, "not one answer")
    # without scenes nobody can say, and the row says so
    [puzzle] = PuzzleAssembly()([replace(good, scenes=())], Key.root(0))
    assert (puzzle.checked, puzzle.dropped) == (False, "")


def test_options_alone_do_not_give_the_answer_away(drawings):
    """Who takes the option that shares most with the others is right one time in four."""
    right = total = 0.0
    for drawing in drawings:
        if drawing.dropped:
            continue
        options = [drawing.scenes[4], *drawing.scenes[5:]]
        shared = [sum(a == b for other in options for a, b in zip(option, other, strict=True)) for option in options]
        best = [place for place, count in enumerate(shared) if count == max(shared)]
        right += (0 in best) / len(best)
        total += 1
    assert right / total == pytest.approx(0.25, abs=1e-9)


def test_seen_compares_whole_sequences():
    seen = Seen()
    images = [[picture(panel, "plain") for panel in panels(5, seed)] for seed in range(3)]
    assert [seen.near(each) for each in images] == [False, False, False]
    almost = [image.copy() for image in images[1]]
    almost[2][80, 80] ^= 1
    assert seen.near(almost)
    assert not seen.near([*images[1][:4], images[2][4]])


def test_a_data_set_is_distinct_checked_and_readable(tmp_path):
    out = tmp_path / "set"
    builder = VisualSphinx(seeds=12, evolution=RuleEvolution(generations=3))
    report = builder.build(60, Key.root(5), out)
    rows = [json.loads(line) for line in (out / "puzzles.jsonl").read_text().splitlines()]
    assert len(rows) == report["puzzles"] == report["checked"] == 60
    assert json.loads(json.dumps(report)) == json.loads((out / "report.json").read_text())
    assert len({row["id"] for row in rows}) == 60
    assert len({frozenset(row["rule"]) for row in rows}) == 60
    assert len({tuple(row["images"]) for row in rows}) == 60
    prints = [[print_of(out / name) for name in row["images"]] for row in rows]
    pairs = itertools.combinations(prints, 2)
    assert min(sum(map(distance, a, b)) for a, b in pairs) > 0
    assert all(row["level"] == len(row["rule"]) and list(row["options"]) == list("ABCD") for row in rows)
    assert len({row["answer"] for row in rows}) == 4
    dropped = report["dropped"]
    assert report["tried"] == 60 + sum(dropped.values())
    again = tmp_path / "again"
    builder.build(60, Key.root(5), again)
    assert (again / "puzzles.jsonl").read_bytes() == (out / "puzzles.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="exists: choose another folder"):
        builder.build(1, Key.root(0), out)


def print_of(path):
    return fingerprint(np.asarray(Image.open(path).convert("RGB")))


def test_files_show_what_was_drawn_to_the_last_pixel(tmp_path):
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    for expected in (*(picture(panel, style) for style in STYLES for panel in panels(10)), noise):
        name = _save(tmp_path, expected)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name).convert("RGB")), expected)
        assert _save(tmp_path, expected.copy()) == name


def test_too_few_samples_are_an_error(tmp_path):
    with pytest.raises(TaskError, match=r"distinct puzzles came of what there is, 500 were asked for"):
        VisualSphinx(evolution=RuleEvolution(generations=0)).build(
            500, Key.root(0), tmp_path / "set", samples=exam(3, Key.root(0))
        )
    assert not (tmp_path / "set" / "puzzles.jsonl").exists()
