"""`strop probe`, `strop decode` and `strop verify` on files of rollouts."""

import itertools
import json
import subprocess
import sys
from functools import partial

import pytest
import typer

from strop.cli import analyse
from strop.errors import ConfigError, StoreError
from tests.cli import typing_in

app = typer.Typer()
for command in (analyse.probe, analyse.decode, analyse.verify):
    app.command()(command)
run, numbers = partial(typing_in.run, app), partial(typing_in.numbers, app)


def write(tmp_path, problems, **more):
    """A file from {problem: ["answer right?", ...]}: `5+` answers 5 and is right, `6-` answers 6 and is wrong."""
    rows = [
        {"problem_id": name, "sample": i, "response": f"<think>so</think>{said[:-1]}", "answer": said[:-1] or None,
         "reference": "5", "correct": said[-1] == "+"}
        | {key: values[name][i] for key, values in more.items()}
        for name, attempts in problems.items()
        for i, said in enumerate(attempts)
    ]  # fmt: skip
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["pass_k", "passk", "pass-k", "PassK"])
def test_pass_k(tmp_path, name):
    path = write(tmp_path, {"a": ["5+", "6-", "6-", "6-"], "b": ["5+", "5+", "5+", "6-"], "c": ["6-"] * 4})
    actual = numbers("probe", name, path, "-k", "1,2,4")
    assert actual["problems"] == 3
    assert actual["pass@1"] == pytest.approx((1 / 4 + 3 / 4 + 0) / 3)
    assert actual["pass@2"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert actual["pass@4"] == pytest.approx(2 / 3)
    assert set(actual["ci"]) == {"pass@1", "pass@2", "pass@4"}
    low, high = actual["ci"]["pass@1"]
    assert 0 <= low < actual["pass@1"] < high <= 0.75


def test_too_large_a_k_names_the_problem(tmp_path):
    path = write(tmp_path, {"long": ["5+"] * 8, "short": ["5+"] * 3})
    with pytest.raises(ConfigError, match=r"'short' has 3"):
        run("probe", "passk", path, "-k", "1,4")
    for text in ("0", "1,x", "", "-1", "1.5"):
        with pytest.raises(ConfigError, match="-k takes"):
            run("probe", "passk", path, f"-k{text or ','}")


def test_a_probe_across_checkpoints_gets_them_together(tmp_path):
    attempts = {"a": ["5+", "5+", "6-", "6-"], "b": ["5+", "6-", "5+", "6-"]}
    marks = ["base", "base", "tuned", "tuned"]
    path = write(tmp_path, attempts, checkpoint={"a": marks, "b": marks})
    assert numbers("probe", "historical_variance", path) == {"problems": 2, "top": {"a": 0.5, "b": 0.0}, "mean": 0.25}


def test_checkpoints_get_their_own_numbers(tmp_path):
    path = write(tmp_path, {"a": ["5+", "5+", "6-", "6-"]}, checkpoint={"a": ["base", "base", "tuned", "tuned"]})
    actual = numbers("probe", "pass_k", path, "-k", "1")
    assert {name: each["pass@1"] for name, each in actual["checkpoints"].items()} == {"base": 1.0, "tuned": 0.0}


def test_majority_with_exactly_the_budget(tmp_path):
    path = write(
        tmp_path, {"a": ["6-", "5+", "5+", "-"], "b": ["6-", "5+", "6-", "5+"], "c": ["-"] * 4, "d": ["5+"] * 4}
    )
    actual = numbers("decode", "majority", path, "--budget", "4")
    assert (actual["problems"], actual["accuracy"]) == (4, 0.5)
    low, high = actual["ci"]
    assert 0 <= low <= 0.5 <= high <= 1


def test_majority_averages_over_subsamples(tmp_path):
    said = ["5+", "6-", "5+", "6-", "5+", "7-"]
    path = write(tmp_path, {f"p{i}": said for i in range(30)})
    subsets = list(itertools.combinations(said, 3))
    hits = 0
    for subset in subsets:
        best = max(dict.fromkeys(subset), key=lambda answer: (subset.count(answer), -subset.index(answer)))
        hits += best == "5+"
    # 3,000 draws of a share near one half: standard error 0.009
    assert numbers("decode", "majority", path, "--budget", "3")["accuracy"] == pytest.approx(
        hits / len(subsets), abs=0.04
    )
    assert run("decode", "majority", path, "--budget", "3", "--json") == run(
        "decode", "majority", path, "--budget", "3", "--json"
    )
    with pytest.raises(ConfigError, match=r"budget of 7.*'p0' has 6.*at most 6"):
        run("decode", "majority", path, "--budget", "7")


def test_best_of_n_needs_scores(tmp_path):
    problems = {"a": ["5+", "6-"], "b": ["6-", "5+"], "c": ["6-", "5+"]}
    scores = {"a": [0.9, 0.1], "b": [0.1, 0.9], "c": [0.9, 0.1]}
    path = write(tmp_path, problems, score=scores)
    for name in ("best_of_n", "best-of-n", "bestofn"):
        assert numbers("decode", name, path, "--budget", "2")["accuracy"] == pytest.approx(2 / 3)
    with pytest.raises(ConfigError, match=r"no `score`, and best_of_n chooses by it.*strop decode majority"):
        run("decode", "best_of_n", write(tmp_path, problems), "--budget", "2")


def test_majority_needs_answers(tmp_path):
    path = tmp_path / "r.jsonl"
    rows = [{"problem_id": "p", "sample": i, "response": "5", "correct": True, "reference": "5"} for i in range(2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ConfigError, match=r"no `answer`, and majority chooses by it.*--verifier math"):
        run("decode", "majority", path, "--budget", "2")
    assert numbers("decode", "majority", path, "--budget", "2", "--verifier", "exact")["accuracy"] == 1.0


def test_a_decoder_of_ones_own_says_what_it_needs(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from strop.piece import piece\n"
        "@piece\n"
        "class Mine:\n"
        "    needs = ('hidden',)\n"
        "    def __call__(self, attempts): return 0\n"
    )
    path = write(tmp_path, {"a": ["5+", "6-"]})
    with pytest.raises(ConfigError, match=r"mine.py:Mine needs hidden; it cannot run on a file"):
        run("decode", f"{mine}:Mine", path, "--budget", "2")


def test_verify_counts_and_compares(tmp_path):
    rows = [
        ("<think>x</think>5.0", "5", True),
        ("\\boxed{\\frac{10}{2}}", "5", False),  # the file is wrong here
        ("6", "5", False),
        ("no idea", "5", None),
        ("10^{10^{10}}", "5", None),
        ("\\frac{1}{2}", "0.5", True),
    ]
    path = tmp_path / "r.jsonl"
    path.write_text(
        "".join(
            json.dumps({"problem_id": f"p{i}", "sample": 0, "response": said, "reference": gold, "correct": correct})
            + "\n"
            for i, (said, gold, correct) in enumerate(rows)
        )
    )
    expected = {"right": 3, "wrong": 1, "unparsable": 1, "timeout": 1, "error": 0, "agreement": 0.75}
    assert numbers("verify", path, "--verifier", "math", "--set", "seconds=1.5") == expected
    assert numbers("verify", path, "--verifier", "exact")["right"] == 0


def test_a_file_without_verdicts(tmp_path):
    path = tmp_path / "r.jsonl"
    rows = [{"problem_id": "p", "sample": i, "response": said, "reference": 5} for i, said in enumerate(("5", "6"))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert numbers("verify", path)["agreement"] is None
    with pytest.raises(ConfigError, match="judge"):
        run("probe", "pass_k", path, "-k", "1")
    assert numbers("probe", "pass_k", path, "-k", "1", "--verifier", "math")["pass@1"] == 0.5
    assert numbers("decode", "majority", path, "--budget", "2", "--verifier", "exact")["accuracy"] == 1.0
    del rows[1]["reference"]
    path.write_text(json.dumps({k: v for k, v in rows[0].items() if k != "reference"}))
    with pytest.raises(ConfigError, match="no `reference`"):
        run("verify", path)


def test_tables_for_people(tmp_path):
    path = write(tmp_path, {"a": ["5+", "6-"]})
    output = run("probe", "diversity", path)
    assert "distinct_answers" in output
    assert "2.0000" in output
    assert "95 % interval" in output
    assert "accuracy" in run("decode", "majority", path, "--budget", "2")


def test_errors_reach_the_caller(tmp_path):
    path = write(tmp_path, {"a": ["5+"]})
    with pytest.raises(ConfigError, match=r"Unknown probe 'pass_kk'\. Did you mean 'pass_k'"):
        run("probe", "pass_kk", path)
    with pytest.raises(ConfigError, match="Diversity has no field 'k'"):
        run("probe", "diversity", path, "-k", "1")
    with pytest.raises(ConfigError, match="name=value"):
        run("probe", "diversity", path, "--set", "orders")
    assert "distinct_answers" in run("probe", "diversity", path, "--set", "orders=2")
    with pytest.raises(StoreError, match="There is no file"):
        run("verify", tmp_path / "absent.jsonl")


def test_importing_the_commands_loads_nothing_heavy():
    heavy = "torch", "transformers", "pyarrow", "sympy", "rich.table", "math_verify"
    code = f"import sys, strop.cli.analyse; print([m for m in {heavy!r} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
