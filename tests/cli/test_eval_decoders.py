"""`strop eval --decoder`."""

import json
from functools import partial

import pytest
import typer

from strop.cli import run_commands
from strop.cli.eval_decoders import budgets, decoders
from strop.decoders.first_finish import FirstFinish
from strop.decoders.majority import Majority
from strop.errors import ConfigError
from strop.rewards.format import Format
from tests.cli import typing_in

app = typer.Typer()
app.command("eval")(run_commands.evaluate)
app.callback()(lambda: None)
run = partial(typing_in.run, app, "eval")


def test_two_tasks_two_budgets_and_a_figure(tmp_path):
    page = tmp_path / "figure.html"
    out = run("nano", "--task", "arithmetic", "--task", "countdown", "--decoder", "majority,first-finish", "--budget",
              "2,3", "-n", 3, "--max-tokens", 24, "--page", page, "--json")  # fmt: skip
    result = json.loads(out.splitlines()[-1])
    assert [task["task"] for task in result["tasks"]] == ["arithmetic", "countdown"]
    expected = [("plain", 1), ("majority", 2), ("majority", 3), ("first_finish", 2), ("first_finish", 3)]
    for task in result["tasks"]:
        assert [(row["decoder"], row["budget"]) for row in task["rows"]] == expected
        assert all(row["tokens"] <= row["budget"] * 24 for row in task["rows"])
    assert "<h2>countdown</h2>" in page.read_text()


def test_the_table_names_cost_beside_accuracy():
    out = run("nano", "--decoder", "majority", "--budget", "2", "-n", 2, "--max-tokens", 12)
    head, row = (next(line for line in out.splitlines() if word in line) for word in ("decoder", "majority"))
    assert [name in head for name in ("budget", "tokens", "passes", "longest")] == [True] * 4
    assert row.split()[:2] == ["majority", "2"]
    assert max(map(len, out.splitlines())) <= 80


def test_decoders_by_name_with_fields_of_their_own():
    assert decoders("majority,first-finish", ["first_finish.k=2"]) == {
        "majority": Majority(), "first_finish": FirstFinish(k=2)
    }  # fmt: skip
    beam = decoders("beam_search", ["beam_search.score=rewards/format", 'beam_search.separators=["."]'])["beam_search"]
    assert beam.score == Format()
    assert beam.separators == (".",)


def test_a_decoder_from_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from strop.piece import piece\n\n\n@piece\nclass Last:\n    needs = ()\n\n"
        "    def __call__(self, attempts):\n        return len(attempts) - 1 if attempts else None\n"
    )
    (name,) = decoders(f"{tmp_path / 'mine.py'}:Last", [])
    assert name == "Last"


@pytest.mark.parametrize("text", ["0", "4,", "-1", "x", "1.5", ""])
def test_budgets_are_numbers_of_attempts(text):
    with pytest.raises(ConfigError, match="--budget"):
        budgets(text)


def test_budgets_rise_and_stand_once():
    assert budgets("16, 4,4") == [4, 16]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--decoder", "majorty"), "majority"),
        (("--decoder", "majority,majority"), "twice"),
        (("--decoder", "majority", "--set", "k=2"), "DECODER.FIELD=VALUE"),
        (("--decoder", "majority", "--set", "leap.turns=2"), "no decoder 'leap'"),
        (("--decoder", "majority", "--set", "majority.k=2"), "no field 'k'"),
        (("--decoder", "majority", "--samples", "4"), "--budget"),
        (("--budget", "4"), "--decoder"),
        (("--page", "x.html"), "--decoder"),
        (("--task", "arithmetic", "--task", "countdown"), "Several tasks"),
        (("--decoder", "model_mix", "-n", "1"), "--reference"),
    ],
)
def test_errors_say_what_to_type(arguments, message):
    with pytest.raises(ConfigError, match=message):
        run("nano", *arguments)


def test_a_second_model_for_a_mixture():
    out = run("nano", "--decoder", "model_mix", "--reference", "nano", "--budget", "1", "-n", 2, "--max-tokens", 8,
              "--json")  # fmt: skip
    row = json.loads(out.splitlines()[-1])["tasks"][0]["rows"][-1]
    assert row["passes"] == 2 * row["tokens"]
