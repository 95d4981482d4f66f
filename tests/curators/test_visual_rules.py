"""The grammar and its engine against slow readings of its sentences; abstraction and breeding of rules."""

import itertools
import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.curators.visual import LETTERS, Rule
from strop.curators.visual import _engine as engine
from strop.curators.visual._by_grammar import GrammarAuthor, exam
from strop.curators.visual._grammar import ATTRIBUTES, PLACE, about, clauses, parse
from strop.curators.visual._member import fitness
from strop.curators.visual.rule_evolution import RuleEvolution
from strop.curators.visual.seed_abstraction import SeedAbstraction
from strop.keys import Key

UP = "The size of the shapes goes up by 1 each time."
ROUND = "The dot on the edge moves 1 place clockwise each time."
SWAP = "The colour of the shapes goes back and forth between two."
LINK = "The kind of shape is one where the number of shapes is odd, and another where it is even."
COUNT = "The number of shapes goes up by 1 each time."


def read(clause, values):
    """What a sentence says, word by word, of the numbers of shapes (from 1), sizes or places."""
    n, text = ATTRIBUTES[clause.attribute], clause.text
    steps = [b - a for a, b in itertools.pairwise(values)]
    if "back and forth" in text:
        return values[0] == values[2] == values[4] != values[1] == values[3]
    if "three, in turn" in text:
        return len(set(values[:3])) == 3 and values[3:] == values[:2]
    if "two before it" in text:
        shown = [value + 1 for value in values]
        return all(shown[i] == shown[i - 1] + shown[i - 2] for i in (2, 3, 4))
    if "one place farther" in text:
        sign = 1 if "clockwise" in text else -1
        return [sign * step % n for step in steps] == [1, 2, 3, 4]
    if "place" in text:
        by = int(text.split(" moves ")[1].split()[0]) * (1 if "clockwise" in text else -1)
        return all((step - by) % n == 0 for step in steps)
    sign = 1 if " up " in text else -1
    wanted = [1, 2, 3, 4] if "one more" in text else [int(text.split(" by ")[1].split()[0])] * 4
    return [sign * step for step in steps] == wanted


@pytest.mark.parametrize("clause", [c for c in clauses().values() if not c.base], ids=lambda c: c.text)
def test_sentences_stand_for_the_sequences_they_describe(clause):
    n = ATTRIBUTES[clause.attribute]
    # every sequence of few values; of many values those that obey, and as many that do not
    if n <= 6:
        candidates = set(itertools.product(range(n), repeat=5))
    else:
        chance = random.Random(0)
        candidates = {tuple(chance.randrange(n) for _ in range(5)) for _ in range(3000)}
        candidates |= {each for other in about(clause.attribute) for each in other.sequences}
    expected = {values for values in candidates if read(clause, values)}
    assert expected
    assert set(clause.sequences) & candidates == expected


def test_no_two_sentences_say_the_same():
    sequences = Counter((c.attribute, c.sequences) for c in clauses().values() if not c.base)
    assert set(sequences.values()) == {1}
    assert Counter(c.base for c in clauses().values())["count"] == 4


def grammar_rules():
    texts = {name: [clause.text for clause in about(name)] for name in ATTRIBUTES}
    picks = st.fixed_dictionaries({}, optional={name: st.sampled_from(texts[name]) for name in texts})
    return picks.filter(bool).map(lambda taken: tuple(taken[name] for name in ATTRIBUTES if name in taken))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(bullets=grammar_rules(), seed=st.integers(0, 10**6))
def test_drawn_pictures_follow_their_rule_and_spoiled_ones_break_it(bullets, seed):
    rule, panels = parse(bullets), engine.draw(bullets, random.Random(seed))
    # only a link can be impossible: to something that keeps its parity
    shown = {clause.attribute: {tuple(v % 2 for v in each[:4]) for each in clause.sequences} for clause in rule}
    possible = all(any(len(set(p)) == 2 for p in shown.get(c.base, ())) for c in rule if c.base)
    assert (panels is not None) == possible
    if panels is None:
        return
    assert all(0 <= value < n for panel in panels for value, n in zip(panel, ATTRIBUTES.values(), strict=True))
    for clause in rule:
        values = tuple(panel[PLACE[clause.attribute]] for panel in panels)
        if clause.base:
            pairs = {(panel[PLACE[clause.base]] % 2, value) for panel, value in zip(panels, values, strict=True)}
            assert len(pairs) == 2 == len(set(values))
        else:
            assert read(clause, values)
    named = {clause.attribute for clause in rule}
    assert all(len({panel[PLACE[name]] for panel in panels}) == 1 for name in ATTRIBUTES if name not in named)
    assert engine.explained(panels[:4], panels[4])
    wrong = engine.spoil(bullets, panels, random.Random(seed))
    options = [*wrong, panels[4]]
    assert len(set(options)) == 4
    assert engine.solve(panels[:4], options) == 3
    assert not any(engine.follows(rule, [*panels[:4], panel]) for panel in wrong)
    # two attributes, each right twice and wrong twice in the same way
    columns = [Counter(option[place] for option in options) for place in PLACE.values()]
    assert sorted(sorted(column.values()) for column in columns) == [[2, 2]] * 2 + [[4]] * (len(PLACE) - 2)


def test_four_pictures_never_go_on_in_two_ways():
    for name, n in ATTRIBUTES.items():
        sequences = {(value,) * 5 for value in range(n)}.union(*(clause.sequences for clause in about(name)))
        assert len({sequence[:4] for sequence in sequences}) == len(sequences), name
        # a link needs two values, and what takes turns between two values may be read as a link or as taking turns:
        # both go on in the same way, since parities that take turns four times do so a fifth time
        for parity in ([value % 2 for value in sequence] for sequence in sequences):
            if name in ("count", "dot") and parity[0] == parity[2] != parity[1] == parity[3]:
                assert parity[4] == parity[0]


def test_solving_considers_every_rule_of_the_grammar():
    # 1 2 3 goes on with 4 (up by 1), after 1 2 3 comes 5 only as a sum of two, which four pictures tell apart
    def shapes(*counts):
        return [(count - 1, 0, 0, 0, 0, 0, 0) for count in counts]

    assert engine.solve(shapes(1, 2, 3, 4), shapes(5, 8, 6, 1)) == 0
    assert engine.solve(shapes(1, 2, 3, 5), shapes(7, 8, 6, 1)) == 1
    assert engine.solve(shapes(1, 2, 4, 7), shapes(11, 8, 12, 1)) == 0
    assert engine.solve(shapes(3, 3, 3, 3), shapes(4, 3, 2, 1)) == 1
    assert engine.solve(shapes(1, 5, 2, 9), shapes(4, 3, 2, 1)) is None, "no rule explains it"
    # the colour goes with whether the number is odd: 2 of 4 options carry on one of the two
    question = [(0, 0, 2, 0, 0, 0, 0), (2, 0, 2, 0, 0, 0, 0), (5, 0, 4, 0, 0, 0, 0), (9, 0, 4, 0, 0, 0, 0)]
    assert engine._link([2, 2, 4, 4], [0, 0, 1, 1]) == {0: 2, 1: 4}
    assert not engine.explained(question, (1, 0, 4, 0, 0, 0, 0)), "the numbers themselves follow nothing"


def test_inference_prefers_an_attributes_own_sentence():
    # up by 1 from 1: odd and even take turns, so a colour that alternates could be linked as well
    panels = [(n, n % 2, 0, 0, 0, 0, 0) for n in range(5)]
    assert engine.infer(panels) == (COUNT, "The kind of shape goes back and forth between two.")
    assert engine.infer([(n, 0, 0, 0, 0, 0, 0) for n in (0, 4, 1, 8, 3)]) is None


@pytest.mark.parametrize("bullets", [(), ("The size goes up.",), (UP, UP), (UP, ROUND, "x" * 10_000)])
def test_what_is_no_rule_is_none(bullets):
    assert parse(bullets) is None
    assert engine.draw(bullets, random.Random(0)) is None


def test_a_seed_is_kept_where_it_leads_back_to_its_answer():
    samples = exam(30, Key.root(1))
    rules = SeedAbstraction()(samples, Key.root(0))
    seen = set()
    for sample, rule in zip(samples, rules, strict=True):
        said = tuple(sample.explanation.splitlines())
        assert (rule.id, rule.bullets) == (sample.id, said)
        assert rule.dropped == ("repeats" if frozenset(said) in seen else "")
        seen.add(frozenset(said))
    assert len({sample.answer for sample in samples}) == 4, "the answer stands at every letter"
    wrong = [replace(sample, answer=LETTERS[(LETTERS.index(sample.answer) + 1) % 4]) for sample in samples]
    assert {rule.dropped for rule in SeedAbstraction()(wrong, Key.root(0))} == {"answer not recovered"}
    *question, a, b, c, d = samples[0].panels
    right = (a, b, c, d)[LETTERS.index(samples[0].answer)]
    twice = replace(samples[0], panels=(*question, right, right, c, d), answer="A")
    odd = [replace(samples[0], answer="Z"), replace(samples[0], panels=()), twice]
    assert {rule.dropped for rule in SeedAbstraction()(odd, Key.root(0))} == {"answer not recovered"}


def seeds(count=40, seed=0):
    return [rule for rule in SeedAbstraction()(exam(count, Key.root(seed)), Key.root(0)) if not rule.dropped]


def test_islands_grow_by_a_fifth_and_children_follow_from_parents():
    start = [replace(rule, tag="one") for rule in seeds()]
    rules = RuleEvolution(generations=2)(start, Key.root(0))
    size, expected = len(start), []
    for _ in range(2):
        expected.append(int(1.2 * size) - max(1, int(0.1 * size)))
        size = int(1.2 * size)
    actual = [sum(rule.id.startswith(f"g{number}-") for rule in rules) for number in (1, 2)]
    assert actual == expected
    by_id = {rule.id: rule for rule in rules}
    used = Counter(parent for rule in rules for parent in rule.parents)
    for rule in rules:
        assert rule.used == used[rule.id]
        if rule.parents:
            one, other = (by_id[parent] for parent in rule.parents)
            assert one is not other
            assert rule.depth == 1 + max(one.depth, other.depth)
            if not rule.mutated:
                assert set(rule.bullets) <= set(one.bullets) | set(other.bullets)


def test_mutations_are_as_frequent_as_they_should_be():
    start = [replace(rule, tag="one") for rule in seeds(80)]
    for share in (0.0, 0.15, 1.0):
        made = [rule for rule in RuleEvolution(generations=5, mutation=share)(start, Key.root(0)) if rule.parents]
        actual = sum(rule.mutated for rule in made) / len(made)
        assert actual == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / len(made)))


def test_a_mutation_changes_one_bullet():
    author, bullets = GrammarAuthor(), (COUNT, SWAP, ROUND)
    found = Counter()
    for seed in range(200):
        mutated = author.mutate(bullets, Key.root(seed))
        before, after = set(bullets), set(mutated)
        found[len(after) - len(before)] += 1
        assert len(before - after) <= 1
        # a link without what it is linked to is left out
        assert len(after - before) <= 1 or any(clauses()[each].base for each in after)
        assert parse(mutated) is not None
    assert set(found) == {-1, 0, 1}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(one=grammar_rules(), other=grammar_rules(), seed=st.integers(0, 10**6))
def test_children_are_rules_of_at_most_five_bullets(one, other, seed):
    parents = [Rule(id=name, bullets=bullets, tag="") for name, bullets in (("a", one), ("b", other))]
    child = GrammarAuthor().cross(*parents, Key.root(seed))
    if child is not None:
        assert parse(child) is not None
        assert 1 <= len(child) <= 5
        assert set(child) <= {*one, *other}


@pytest.mark.parametrize(
    ("used", "depth", "mutated", "noise", "expected"),
    [
        (0, 0, False, 1.0, 0.4 + 0.4 * 0.5 + 0.2),
        (5, 0, False, 1.0, 0.4 / 2 + 0.4 * 0.5 + 0.2),
        (0, 9, False, 0.8, 0.4 + 0.4 + 0.16),
        (10, 3, True, 0.9, (0.4 / 3 + 0.4 * 0.8 + 0.18) * 1.1),
    ],
)
def test_fitness_by_hand(used, depth, mutated, noise, expected):
    rule = Rule(id="a", bullets=(), tag="", depth=depth, mutated=mutated)
    assert fitness(rule, used, noise) == pytest.approx(expected)


def test_fitness_and_parent_choice_spread_the_use():
    start = [replace(rule, tag="one") for rule in seeds(80)]
    rules = RuleEvolution(generations=4)(start, Key.root(0))
    uses = [rule.used for rule in rules if rule.depth == 0]
    again = RuleEvolution(generations=4, fresh=0.0)(start, Key.root(0))
    assert max(uses) <= 12
    assert sum(use == 0 for use in uses) < sum(rule.used == 0 for rule in again if rule.depth == 0)


def test_rules_travel_between_islands():
    start = [replace(rule, tag="ab"[number % 2]) for number, rule in enumerate(seeds(60))]
    tag = {rule.id: rule.tag for rule in start}

    def mixed(migration):
        rules = RuleEvolution(generations=4, migration=migration)(start, Key.root(0))
        tags = tag | {rule.id: rule.tag for rule in rules}
        return sum(len({tags[parent] for parent in rule.parents}) == 2 for rule in rules)

    assert mixed(0.0) == 0
    assert mixed(0.3) > 0


def test_an_island_of_one_stays_as_it_is():
    [alone] = RuleEvolution()([Rule(id="a", bullets=(UP,), tag="x")], Key.root(0))
    assert alone == Rule(id="a", bullets=(UP,), tag="x")


def test_the_earliest_of_the_same_rules_stays():
    rows = [
        Rule(id="a", bullets=(UP, ROUND), tag="x"), Rule(id="b", bullets=(ROUND, UP), tag="y"),
        Rule(id="c", bullets=(LINK,), tag="z"), Rule(id="d", bullets=("odd",), tag="z"),
    ]  # fmt: skip
    actual = [rule.dropped for rule in RuleEvolution(generations=0)(rows, Key.root(0))]
    assert actual == ["", "repeats", "low score", "low score"]
