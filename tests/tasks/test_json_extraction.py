import json
import re

import pytest

from strop.keys import Key
from strop.records import Problem, Turn
from strop.tasks.json_extraction import JsonExtraction

SAYS = {
    "age": r"is (\d+)",
    "city": r"lives in (\w+)",
    "job": r"works as (\w+)",
    "kids": r"has (\d) kids",
    "member": r"is (a|no) member",
    "pet": r"has a (\w+)",
}


def slow_answer(prompt):
    """The fields from the words of the prompt."""
    head, text = prompt.removeprefix("extract ").split(" from: ")
    schema, _, who = head.partition(" of ")
    sentence = next(s for s in text.split(". ") if s.split()[0] == (who or text.split()[0]))
    found = {}
    for field in schema.split():
        name, kind = field.split(":")
        said = sentence.split()[0] if name == "name" else re.search(rf"\b{SAYS[name]}", sentence)[1]
        found[name] = {"int": int, "str": str, "bool": lambda word: word == "a"}[kind](said)
    return found


def test_references_match_a_slow_reading_of_the_prompt():
    task = JsonExtraction(levels=(1, 2, 3, 4, 5, 6))
    seen = set()
    for index in range(1500):
        problem = task.problem("train", index)
        seen |= set(problem.reference)
        assert json.dumps(problem.reference) == json.dumps(dict(sorted(slow_answer(problem.question).items())))
        assert len(problem.reference) == problem.difficulty
        assert (" of " in problem.question) == (problem.question.count(". ") == 1) == (problem.difficulty >= 3)
    assert seen == {*SAYS, "name"}


def test_the_other_person_says_something_else():
    task = JsonExtraction(levels=(3,))
    for index in range(300):
        problem = task.problem("train", index)
        decoy = {f: v for f, v in problem.data["decoy"].items() if f != "name"}
        assert len(decoy) == 2
        assert all(problem.reference[f] != v for f, v in decoy.items())


PROBLEM = Problem(
    id="x",
    task="json_extraction",
    prompt=(Turn("user", "extract name:str age:int member:bool from: mia is 31 and is a member and lives in oslo"),),
    reference={"age": 31, "member": True, "name": "mia"},
    data={"who": "mia", "decoy": {"name": "leo"}},
)
CANONICAL = '{"age":31,"member":true,"name":"mia"}'


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (CANONICAL, "right"),
        ('{ "name": "mia", "member": true,\n "age": 31 }', "right"),
        ('{"age":"31","member":true,"name":"mia"}', "wrong"),
        ('{"age":31.0,"member":true,"name":"mia"}', "wrong"),
        ('{"age":31,"member":1,"name":"mia"}', "wrong"),
        ('{"age":31,"member":false,"name":"mia"}', "wrong"),
        ('{"age":31,"member":true,"name":"Mia"}', "wrong"),
        ('{"age":31,"member":true}', "wrong"),
        ('{"age":31,"member":true,"name":"mia","city":"oslo"}', "wrong"),
        ('{"age":{"age":31},"member":true,"name":["mia"]}', "wrong"),
        ('{"age":NaN,"member":true,"name":"mia"}', "wrong"),
        ('{"age":1e999,"member":true,"name":"mia"}', "wrong"),
        ('{"age":31,"member":true,"name":"\\ud800"}', "wrong"),
        ("{}", "wrong"),
        ('{"age":31,"age":31,"member":true,"name":"mia"}', "unparsable"),
        ("[31]", "unparsable"),
        ("31", "unparsable"),
        ("null", "unparsable"),
        ("{'age':31}", "unparsable"),
        (CANONICAL + CANONICAL, "unparsable"),
        ("```" + CANONICAL + "```", "unparsable"),
        (CANONICAL[:-1], "unparsable"),
        ("{" + " " * 400 + CANONICAL[1:], "unparsable"),
        ("[" * 400, "unparsable"),
        ('{"a":' * 10**5 + "1" + "}" * 10**5, "unparsable"),
        ('{"age":' + "9" * 10**5 + "}", "unparsable"),
        ("", "unparsable"),
    ],
)
def test_judges(answer, outcome):
    assert JsonExtraction().verify(f"<think></think>{answer}", PROBLEM).outcome == outcome


def test_equal_answers_vote_together():
    answers = [CANONICAL, '{"name": "mia", "age": 31, "member": true}']
    assert {JsonExtraction().verify(answer, PROBLEM).answer for answer in answers} == {CANONICAL}


def test_short_trace_by_hand():
    expected = (
        '<think>mia is 31 so "age":31 mia is a member so "member":true name mia so "name":"mia"</think>' + CANONICAL
    )
    assert JsonExtraction().write(PROBLEM, "short", Key.root(0)) == expected


def test_slips_stay_json_and_some_miss_the_type():
    task = JsonExtraction()
    details = set()
    for index in range(300):
        problem = task.problem("train", index)
        verdict = task.verify(task.write(problem, "long", Key.root(index), slips=0.7), problem)
        details.add(verdict.detail)
        assert verdict.outcome in ("right", "wrong")
    assert {"", "age is no int", "member is no bool"} <= details
