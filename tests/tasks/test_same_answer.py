"""Pairs whose label is right: every form says the same, every near miss something else, read by a reader of its own."""

import json
import re
from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from strop.contracts._examples import HOSTILE
from strop.errors import ConfigError, TaskError
from strop.keys import Key
from strop.recipe import from_data, override, to_json
from strop.recipes.tinyv import tinyv
from strop.tasks._forms import CLASSES, FORMS, Answer, plain, read, rewritten
from strop.tasks._misses import made, near_miss
from strop.tasks.arithmetic import Arithmetic
from strop.tasks.biographies import Biographies
from strop.tasks.countdown import Countdown
from strop.tasks.list_functions import ListFunctions
from strop.tasks.same_answer import SameAnswer
from strop.verifiers.exact import Exact

NUMBERS = {
    word: value
    for words, start, step in (
        ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen", 0, 1),
        ("seventeen eighteen nineteen", 17, 1),
        ("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10),
    )
    for value, word in zip(range(start, 100, step), words.split(), strict=False)
}
LETTERS = dict(zip("IVXLCDM", (1, 5, 10, 50, 100, 500, 1000), strict=True))


def spoken(text):
    """The value of number words, summed up from the left."""
    total = part = 0
    words = text.lower().replace("-", " ").split()
    for word in words[words[0] == "minus" :]:
        if word == "hundred":
            part *= 100
        elif word == "thousand":
            total, part = 1000 * part, 0
        else:
            part += NUMBERS[word]
    return (total + part) * (-1 if words[0] == "minus" else 1)


def roman(text):
    values = [LETTERS[letter] for letter in text]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


def bare(text):
    """What is left when everything around an answer is taken off."""
    for pattern in (r"\\boxed\{(.*)\}", r"\*\*(.*)\*\*", r"\$\\text\{(.*)\}\$", r"\[(.*)\]", r"\{(.*)\}"):
        text = re.sub(f"^{pattern}$", r"\1", text)
    text = re.sub(r"^(= |so |result |the answer is |it is |i get |answer: |x_0 = |[xynkt] ?= ?|x is )", "", text)
    return re.sub(r" (\(checked\)|apples|beads|books|cards|coins|cups|keys|pens|shells|stamps|cm|kg|years)$", "", text)


def number(text):
    text = re.sub(r"^\((.*)\)$", r"\1", bare(text))
    if re.fullmatch(r"[IVXLCDM]+", text):
        return roman(text)
    if not re.search(r"\d", text):
        return spoken(text)
    text = re.sub(r"\\frac\{(-?\d+)\}\{(\d+)\}", r"\1/\2", text).replace(":", "/")
    if mixed := re.fullmatch(r"(\d+) (\d+)/(\d+)", text):
        return int(mixed[1]) + Fraction(int(mixed[2]), int(mixed[3]))
    if power := re.fullmatch(r"(-?[\d.]+)(?:e|\*10\^)(\d+)", text):
        return Fraction(power[1]) * 10 ** int(power[2])
    if terms := re.fullmatch(r"(-?\d+)([-+])(\d+)", text):
        return int(terms[1]) + int(terms[2] + terms[3])
    return Fraction(text.replace(",", "."))


def listed(text):
    text = re.sub(r"^\((.*)\)$", r"\1", bare(text))
    words = re.split(r"[\s;,|\\]+|then" if re.search(r"\d", text) else r", ", text)
    return tuple(int(word) if word.isdecimal() else spoken(word) for word in words if word)


def collected(text):
    text = re.sub(r"x_\d=|x=", "", bare(text))
    return tuple(sorted(int(word) for word in re.findall(r"-?\d+", text)))


def ends(text):
    return tuple(int(word) for word in re.findall(r"-?\d+", bare(text)))


def line(text):
    """Its value at 0 and what it grows by."""
    text = re.sub(r"(\d)x", r"\1*x", re.sub(r"[ynkt]", "x", re.sub(r"^\((.*)\)$", r"\1", bare(text))))
    if product := re.fullmatch(r"(\d+)\*\(x([-+]\d+)\)", text):
        return int(product[1]), int(product[1]) * int(product[2])
    if turned := re.fullmatch(r"(-?\d+)\+(\d+)\*x", text):
        return int(turned[2]), int(turned[1])
    factor, rest = re.fullmatch(r"(\d+)\*x([-+]\d+)", text).groups()
    return int(factor), int(rest)


def named(text):
    text = re.sub(r"^\((.*)\)$", r"\1", bare(text))
    return " ".join(reversed(text.split(", ")))


READERS = {
    "integer": number, "fraction": number, "list": listed, "set": collected, "interval": ends, "expression": line,
    "words": named,
}  # fmt: skip


def answers(count=400):
    """Of every kind."""
    random = Random(3)
    for index in range(count):
        yield Answer("integer", random.choice((random.randint(0, 99), random.randint(-999, 12_000))))
        yield Answer("list", tuple(random.randint(0, 40) for _ in range(random.randint(2, 5))))
        yield Answer("words", random.choice(("nora shaw", "ana bell", "paris", "baker")))
        yield made(Random(index))[1]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_says_the_same_as_the_usual_one(form):
    seen = 0
    for index, answer in enumerate(answers()):
        text = form.write(answer, Random(index))
        if text is not None:
            seen += 1
            assert READERS[answer.kind](text) == answer.value, (answer, text)
            assert text != plain(answer)
    assert seen > 20


def test_near_misses_say_something_else():
    kinds = Counter()
    for index, answer in enumerate(answers()):
        other = near_miss(answer, Random(index))
        kinds[other.kind] += 1
        assert other.kind == answer.kind
        assert READERS[answer.kind](plain(other)) == other.value != answer.value
    assert len(kinds) == 7


def test_classes_are_the_papers_and_each_has_its_turn():
    assert {form.group for form in FORMS} == set(CLASSES)
    random = Random(0)
    found = Counter(rewritten(Answer("integer", 47), random)[1].group for _ in range(1400))
    assert set(found) == set(CLASSES)
    assert all(120 < count < 280 for count in found.values()), found


@pytest.mark.parametrize("text", ["", "1.5", "x+1", "a b c", "1234567", "3  8", "(1, 2)", "Nora", "١٢", "3 x"])
def test_what_cannot_be_read_is_left_alone(text):
    assert read(text) is None


@pytest.fixture(scope="module")
def problems():
    task = SameAnswer(rule=Exact())
    return [task.problem("train", index) for index in range(600)]


def test_half_of_the_pairs_are_right_in_every_class(problems):
    for number in range(1, 8):
        labels = [problem.reference for problem in problems if problem.difficulty == number]
        assert len(labels) > 40
        assert 0.3 < labels.count("true") / len(labels) < 0.7, CLASSES[number - 1]


def test_the_rule_has_rejected_every_pair(problems):
    for problem in problems:
        shown = problem.data
        assert Exact()._normalise(shown["answer"]) != Exact()._normalise(shown["reference"])
    shown = [SameAnswer().problem("train", index).data for index in range(400)]
    assert any(pair["answer"] == pair["reference"] for pair in shown), "without the rule some are the same text"


def test_the_prompt_shows_the_three_parts_and_asks(problems):
    for problem in problems[:50]:
        question, *lines = problem.question.split("\n")
        shown = problem.data
        assert (question, lines) == (
            shown["question"], [f"reference: {shown['reference']}", f"answer: {shown['answer']}", "true?"]
        )  # fmt: skip


@pytest.mark.parametrize("inner", [ListFunctions(), Biographies()], ids=lambda task: task.name)
def test_other_tasks_give_pairs(inner):
    task = SameAnswer(task=inner, own=0.0)
    labels = Counter(task.problem("heldout", index).reference for index in range(100))
    assert min(labels["true"], labels["false"]) > 25


def test_a_task_without_readable_references_is_named():
    with pytest.raises(TaskError, match="countdown gives no pairs"):
        SameAnswer(task=Countdown(), own=0.0).problem("train", 0)


def test_it_checks_itself():
    task = SameAnswer(task=Arithmetic())
    for index in range(50):
        problem = task.problem("train", index)
        assert task.problem("train", index) == problem
        assert problem.id == f"same_answer/train/{index}"
        assert task.verify(task.write(problem, "direct", Key.root(index)), problem).outcome == "right"
        assert task.verify(task.corrupt(problem, Key.root(index)), problem).outcome == "wrong"
    outcomes = [task.verify(task.write(problem, "short", Key.root(i), 0.5), problem).outcome for i in range(40)]
    assert 8 < outcomes.count("wrong") < 32
    assert {task.verify(text, problem).outcome for text in HOSTILE} == {"unparsable"}
    assert task.verify(f"<think>{problem.reference}</think> {problem.reference.upper()} ", problem).outcome == "right"


def test_its_recipe_comes_back_from_a_file():
    recipe = tinyv(steps=5)
    assert from_data(json.loads(to_json(recipe))) == recipe
    with pytest.raises(ConfigError, match=r"task\.form: String should match"):
        override(recipe, ["task.form=is {answer} right?"])


def test_splits_share_nothing():
    task = SameAnswer()
    train = {task.problem("train", index).question for index in range(200)}
    assert not train & {task.problem("heldout", index).question for index in range(200)}
