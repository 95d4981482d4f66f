"""`strop probe forgetting`, `strop decode temporal_sampling` and `strop sample` as typed."""

import json
import re
from functools import partial

import pytest
import typer
from typer.testing import CliRunner

from strop import rollouts
from strop.cli import analyse
from strop.errors import ConfigError, StoreError
from tests.cli import typing_in

app = typer.Typer()
for command in (analyse.probe, analyse.decode, analyse.sample):
    app.command()(command)
run, numbers = partial(typing_in.run, app), partial(typing_in.numbers, app)


def write(path, table, score=None):
    """Rollouts of {problem: {checkpoint: answers}}; an answer of 5 is right."""
    rows = [
        {"problem_id": problem, "sample": i, "response": said, "answer": said, "correct": said == "5",
         "checkpoint": checkpoint} | ({} if score is None else {"score": score(said)})
        for problem, checkpoints in table.items()
        for checkpoint, answers in checkpoints.items()
        for i, said in enumerate(answers)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


TABLE = {
    "a": {"step-8": "5", "step-16": "5", "step-100": "6"},
    "b": {"step-8": "6", "step-16": "5", "step-100": "5"},
    "c": {"step-8": "6", "step-16": "5", "step-100": "6"},
    "d": {"step-8": "6", "step-16": "6", "step-100": "6"},
}


def test_forgetting_of_a_file(tmp_path):
    path = write(tmp_path / "r.jsonl", TABLE)
    actual = numbers("probe", "forgetting", path)
    expected = {"problems": 4, "ever_correct": 0.75, "final": 0.25, "forgetting": 0.5, "lost": 0.25}
    assert {name: actual[name] for name in expected} == expected
    assert actual["checkpoints"] == ["step-8", "step-16", "step-100"]
    assert actual["page"] == str(tmp_path / "r.forgetting.html")
    text = run("probe", "forgetting", path)
    assert "step-8, step-16, step-100" in text
    assert "both_wrong" in text


def test_the_page_needs_no_network_and_escapes_names(tmp_path):
    hostile = "</script><img src=x onerror=alert(1)>"
    path = write(tmp_path / "r.jsonl", {hostile: {"1": "5", "2": "6"}})
    page = tmp_path / "page.html"
    run("probe", "forgetting", path, "--page", page)
    text = page.read_text()
    assert hostile not in text
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", text), "nothing is fetched"
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert data == {"checkpoints": ["1", "2"], "problems": [hostile], "cells": [[100, 0]]}


def test_one_checkpoint_or_no_page_is_refused(tmp_path):
    path = write(tmp_path / "r.jsonl", {"a": {"1": "5"}})
    with pytest.raises(ConfigError, match=r"at least 2 checkpoints.*has 1: 1\. Give each row.*strop sample RUN"):
        run("probe", "forgetting", path)
    with pytest.raises(ConfigError, match="pass_k draws no page"):
        run("probe", "pass_k", path, "-k", "1", "--page", tmp_path / "x.html")


def test_temporal_sampling_of_a_file(tmp_path):
    table = {"a": {"1": "5555", "2": "6666"}, "b": {"1": "6666", "2": "5555"}, "c": {"1": "6666", "2": "6666"}}
    path = write(tmp_path / "r.jsonl", table, score=lambda said: float(said == "5"))
    actual = numbers("decode", "temporal_sampling", path, "--checkpoints", "2", "--budget", "4")
    assert actual["pass"] == pytest.approx(2 / 3)
    assert actual["best_of_n"] == pytest.approx(2 / 3)
    # two against two: the newest checkpoint's answer came first
    assert actual["majority"] == pytest.approx(1 / 3)
    assert (actual["checkpoints"], actual["quota"]) == (["2", "1"], [2, 2])
    final, best = actual["controls"]["final"], actual["controls"]["best"]
    assert (final["checkpoint"], best["checkpoint"]) == ("2", "2")
    assert final["pass"] == pytest.approx(1 / 3)
    assert final["difference"]["pass"][0] == pytest.approx(1 / 3)


def test_without_scores_or_enough_attempts_a_number_is_missing(tmp_path):
    path = write(tmp_path / "r.jsonl", {"a": {"1": "56", "2": "66"}, "b": {"2": "55"}})
    actual = numbers("decode", "temporal_sampling", path, "--checkpoints", "2", "--budget", "4")
    assert actual["best_of_n"] is None
    assert (actual["pass"], actual["left_out"]) == (1.0, 1)
    assert actual["controls"]["final"]["pass"] is None
    assert "has 2: take a smaller --budget" in actual["controls"]["final"]["why"]
    with pytest.raises(ConfigError, match=r"3 checkpoints were asked for, and the rollouts hold 2 \(2, 1\)"):
        run("decode", "temporal_sampling", path, "--checkpoints", "3", "--budget", "3")
    with pytest.raises(ConfigError, match="needs 3 attempts of '2'"):
        run("decode", "temporal_sampling", path, "--checkpoints", "1", "--budget", "3")


def test_warmer_rollouts_are_a_control(tmp_path):
    path = write(tmp_path / "r.jsonl", {"a": {"1": "55", "2": "66"}, "b": {"1": "66", "2": "66"}})
    warm = write(tmp_path / "warm.jsonl", {"a": {"2": "66"}, "b": {"2": "65"}})
    actual = numbers("decode", "temporal_sampling", path, "--checkpoints", "2", "--budget", "2", "--control", warm)
    assert actual["controls"]["warm.jsonl"]["pass"] == 0.5
    assert actual["controls"]["warm.jsonl"]["difference"]["pass"][0] == 0
    with pytest.raises(ConfigError, match="majority looks at one checkpoint at a time"):
        run("decode", "majority", path, "--budget", "2", "--control", warm)


@pytest.fixture
def drawn(monkeypatch):
    """What was sampled, without a model."""
    calls = []

    def draw(name, model, draw, part):
        calls.append(name)
        part.write_text(json.dumps({"problem_id": "a", "sample": 0, "response": "5", "checkpoint": name}) + "\n")

    monkeypatch.setattr(rollouts, "_sample_one", draw)
    return calls


def test_sampling_goes_on_where_it_stopped(tmp_path, drawn, monkeypatch):
    out = tmp_path / "r.jsonl"
    drawing = rollouts._sample_one

    def killed(name, *rest):
        if name == "b":
            raise KeyboardInterrupt
        drawing(name, *rest)

    monkeypatch.setattr(rollouts, "_sample_one", killed)
    assert CliRunner().invoke(app, ["sample", "a", "b", "--out", str(out)]).exit_code != 0
    assert drawn == ["a"]
    assert not out.exists(), "a file is whole or absent"
    monkeypatch.setattr(rollouts, "_sample_one", drawing)
    assert numbers("sample", "a", "b", "--out", out) == {"rollouts": str(out), "checkpoints": ["a", "b"]}
    assert drawn == ["a", "b"]
    assert [json.loads(line)["checkpoint"] for line in out.read_text().splitlines()] == ["a", "b"]


def test_other_settings_do_not_mix(tmp_path, drawn):
    out = tmp_path / "r.jsonl"
    run("sample", "a", "--out", out)
    with pytest.raises(StoreError, match="begun with another samples: 1, now 2"):
        run("sample", "a", "--samples", "2", "--out", out)
    with pytest.raises(ConfigError, match="--split must be heldout or train"):
        run("sample", "a", "--split", "test", "--out", out)
    with pytest.raises(ConfigError, match="--checkpoints is for a single run folder"):
        run("sample", "a", "--checkpoints", "2", "--out", out)


def test_a_model_trained_again_is_sampled_again(tmp_path, drawn):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"one")
    run("sample", model, "--out", tmp_path / "r.jsonl")
    run("sample", model, "--out", tmp_path / "r.jsonl")
    (model / "model.safetensors").write_bytes(b"other")
    run("sample", model, "--out", tmp_path / "r.jsonl")
    assert drawn == [str(model)] * 2
