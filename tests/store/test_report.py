"""The page is complete, needs nothing from outside, and hostile text stays text."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from store_runs import RECIPE, made_groups, made_metrics, saves_model

from strop.records import Group, Problem, Trajectory, Turn, Verdict
from strop.store import report
from strop.store.parts import read
from strop.store.report import ROWS, TEXT, write_report
from strop.store.writer import RunWriter

HOSTILE = (
    "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\"></script>"
    "<!--<script>]]>&lt;b&gt; {{ 7*7 }} {% raw %} \u2028 ' \" ` ${document.title='pwned'} \x00 \ud800"
)


class Page(HTMLParser):
    """Every tag with its attributes, the text of the page, and the contents of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data + " "

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


def hostile_run(tmp_path: Path, text: str) -> Path:
    """A run in which the model, the data set and the user wrote `text` wherever they can."""
    recipe = {**RECIPE, "name": text, "claim": text, "model": {"piece": text}}
    writer = RunWriter.create(tmp_path / "hostile", json.loads(json.dumps(recipe)), text)
    for step in (0, 1):
        for split in ("heldout", "train"):
            problem = Problem(id=f"{text}/{split}", task=text, prompt=(Turn("user", text),), reference=text)
            attempt = Trajectory(
                problem=problem, sample=0, text=text, verdict=Verdict("wrong", text, text), rewards={text: 1.0},
                dropped="flat",
            )  # fmt: skip
            writer.append(step, "rl", split, [Group(problem, (attempt,))], {f"reward/{text}": 1.0, f"x{text}": 2.0})
        writer.error(step, "verifier", text, text, text)
    writer.finish()
    return writer.path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(hostile_run(tmp_path_factory.mktemp("report"), HOSTILE))


def test_hostile_text_makes_no_tag_and_no_attribute(hostile: Path, tmp_path: Path):
    """The page of a hostile run has the same tags as that of a harmless one."""
    harmless = Page(write_report(hostile_run(tmp_path, "harmless")).read_text())
    page = Page(hostile.read_text())
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert [set(attributes) for _, attributes in page.tags] == [set(attributes) for _, attributes in harmless.tags]
    assert len(page.scripts) == 3
    assert page.scripts[2] == harmless.scripts[2]


def test_hostile_text_is_there_as_text(hostile: Path):
    page = Page(hostile.read_text())
    clean = HOSTILE.replace("\ud800", "?")
    assert {row["response"] for row in page.data["rows"]} == {clean}
    assert "</script" not in hostile.read_text().split('id="data">')[1].split("\n")[0].removesuffix("</script>")
    assert "document.title='pwned'" in page.text  # escaped, in the table and the recipe


def test_nothing_is_loaded_from_outside(hostile: Path):
    page = Page(hostile.read_text())
    for tag, attributes in page.tags:
        assert not {"src", "href", "action", "data", "srcset"} & set(attributes), (tag, attributes)
    assert not re.search(r"@import|url\(", hostile.read_text().partition("</style>")[0])
    assert "default-src 'none'" in hostile.read_text()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
def test_in_a_browser(hostile: Path, tmp_path: Path):
    """The script runs: curves are drawn, attempts are listed and opened, and the title is still the page's own."""
    opened = tmp_path / "open.html"
    text = hostile.read_text().replace(
        "browse();\n</script>",
        "browse();\ndocument.querySelectorAll('details').forEach(d => d.open = true);\n</script>",
    )
    opened.write_text(text)
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = "--disable-component-update --disable-sync --virtual-time-budget=20000 --dump-dom"
    command = ["chromium", *flags.split(), *more.split(), f"--user-data-dir={tmp_path / 'profile'}", opened.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    page = Page(done.stdout)
    assert len([1 for tag, attributes in page.tags if "main-svg" in (attributes.get("class") or "")]) >= 2
    assert len([1 for tag, attributes in page.tags if attributes.get("class") == "row"]) == 4
    assert "title" in [tag for tag, _ in page.tags]
    assert "pwned" not in done.stdout.partition("<title>")[2].partition("</title>")[0].replace(
        "document.title='pwned'", ""
    )
    assert not [1 for tag, _ in page.tags if tag == "img"]
    shown = [data for data in done.stdout.split("<pre>") if data.startswith("&lt;script&gt;document.title")]
    assert len(shown) >= 8  # problem and response of four attempts


def test_curves_are_the_metrics(write_run):
    run = write_run()
    charts = {chart["title"]: chart for chart in Page(write_report(run).read_text()).data["charts"]}
    reward = charts["Reward"]["traces"][0]
    assert (reward["name"], reward["x"], reward["y"]) == ("sum", [1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4])
    loss = charts["Loss"]["traces"][0]
    assert loss["x"] == [1, 3, 4]  # NaN is no point, and no invalid JSON
    assert "Entropy" not in charts
    assert charts["Accuracy"]["traces"][0]["x"] == [2, 4]


def test_interval_band_and_names(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    numbers = {
        "accuracy/heldout": 0.5, "accuracy/heldout_low": 0.4, "accuracy/heldout_high": 0.6, "accuracy/heldout_n": 64.0,
        "verdict/right": 0.5, "verdict/wrong": 0.5, "verdict/error": 0.0, "reward/mean": 1.0, "reward/a": 0.25,
        "own": 3.0,
    }  # fmt: skip
    writer.append(1, "rl", "train", [], numbers)
    charts = {chart["title"]: chart for chart in Page(write_report(writer.path).read_text()).data["charts"]}
    assert charts["Accuracy"]["traces"] == [{"name": "held-out", "x": [1], "y": [0.5], "low": [0.4], "high": [0.6]}]
    assert [trace["name"] for trace in charts["Verdicts"]["traces"]] == ["right", "wrong"]
    assert [(trace["name"], trace["y"]) for trace in charts["Reward"]["traces"]] == [("sum", [1.0]), ("a", [0.25])]
    assert [chart["title"] for chart in charts.values() if chart["rest"]] == ["own"]


def test_long_curves_are_binned_by_means(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    from strop.store import query

    for step in range(1, 4):
        writer.append(step, "rl", "train", [], {"loss": float(step)})
    metrics = query.pivot(read(writer.path, "metrics"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_POINTS", 2)
        assert report._trace(metrics, "loss") == {"name": "loss", "x": [2, 3], "y": [1.5, 3.0]}


def test_length_histograms_by_hand(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    lengths = {1: [(10, True), (10, False), (30, True), (40, True)], 20: [(40, False), (5, False)]}
    for step, attempts in lengths.items():
        problem = Problem(id="a", task="a", prompt=(Turn("user", "?"),), reference="")
        made = tuple(
            Trajectory(
                problem=problem, sample=i, text="", tokens=np.zeros(n), verdict=Verdict("right" if ok else "wrong")
            )
            for i, (n, ok) in enumerate(attempts)
        )
        writer.append(step, "rl", "train", [Group(problem, made)], {})
    first, last = [c for c in Page(write_report(writer.path).read_text()).data["charts"] if c["kind"] == "bars"]
    assert first["note"].startswith("Share of the training attempts of steps 1 to 2 ")

    def filled(trace: dict) -> dict[float, float]:
        return {x: y for x, y in zip(trace["x"], trace["y"], strict=True) if y}

    assert [trace["name"] for trace in first["traces"]] == ["right", "not right"]
    assert [filled(trace) for trace in first["traces"]] == [{10.5: 0.25, 30.5: 0.25, 40.5: 0.25}, {10.5: 0.25}]
    assert [filled(trace) for trace in last["traces"]] == [{}, {5.5: 0.5, 40.5: 0.5}]


def test_before_and_after_by_hand(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    # problem: right before, right after
    answers = {"kept": (True, True), "gained": (False, True), "lost": (True, False), "never": (False, False)}
    for when, step in enumerate((0, 5, 9)):
        groups = []
        for name, ends in answers.items():
            problem = Problem(id=name, task="a", prompt=(Turn("user", f"question {name}"),), reference="7")
            right = ends[min(when, 1)] if step != 5 else False
            verdict = Verdict("right", "7") if right else Verdict("wrong", "8")
            groups.append(Group(problem, (Trajectory(problem=problem, sample=0, text="", verdict=verdict),)))
        extra = Problem(id=f"only {step}", task="a", prompt=(Turn("user", "once"),), reference="7")
        groups.append(Group(extra, (Trajectory(problem=extra, sample=0, text=""),)))
        writer.append(step, "rl", "heldout", groups, {})
    page = Page(write_report(writer.path).read_text())
    said = " ".join(page.text.split())
    assert "4 held-out problems were answered at step 0 and again at step 9: 1 gained , 1 lost , 1 unchanged" in said
    rows = re.findall(r"question (\w+) 7 ([✓✗]) (\d) ([✓✗]) (\d)", said)
    assert rows == [
        ("lost", "✓", "7", "✗", "8"), ("gained", "✗", "8", "✓", "7"),
        ("never", "✗", "8", "✗", "8"), ("kept", "✓", "7", "✓", "7"),
    ]  # fmt: skip


def test_a_large_run_is_sampled_and_says_so(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    for step in range(1, 31):
        writer.append(step, "rl", "train", made_groups(step, problems=10, samples=12, text="y" * (TEXT + 5)), {})
    text = write_report(writer.path).read_text()
    rows = Page(text).data["rows"]
    assert len(rows) == ROWS
    assert len({row["step"] for row in rows}) == 8
    assert {1, 30} <= {row["step"] for row in rows}
    outcomes = [row["outcome"] for row in rows]
    assert abs(outcomes.count("right") - outcomes.count("unparsable")) <= 16  # drawn evenly
    assert {len(row["response"]) for row in rows} == {TEXT}
    assert all(row["cut"] for row in rows)
    assert f"{ROWS} of the 3,600 attempts" in Page(text).text
    assert write_report(writer.path).read_text() == text  # the same run, the same page


def test_empty_and_unfinished_runs(tmp_path: Path):
    writer = RunWriter.create(tmp_path / "run", {"name": "nothing"})
    page = Page(write_report(writer.path).read_text())
    assert page.data == {"charts": [], "rows": []}
    writer.append(1, "rl", "train", [], made_metrics(1))
    assert Page(write_report(writer.path).read_text()).data["rows"] == []


def test_a_finished_run_has_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("strop.store.writer.write_report", write_report)
    writer = RunWriter.create(tmp_path / "run", RECIPE, "strop run grpo --seed 7")
    writer.append(1, "rl", "train", made_groups(1), made_metrics(1))
    writer.checkpoint(1, {}, saves_model)
    writer.finish()
    page = Page((writer.path / "report.html").read_text())
    assert "strop run grpo --seed 7" in page.text
    assert '"seed": 7' in page.text
    assert (writer.path / "report.html").stat().st_size < 2.5e6


def test_a_page_that_fails_does_not_fail_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(path: Path) -> Path:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("strop.store.writer.write_report", broken)
    writer = RunWriter.create(tmp_path / "run", RECIPE)
    writer.append(1, "rl", "train", made_groups(1), made_metrics(1))
    writer.finish()
    (row,) = read(writer.path, "errors").to_pylist()
    assert (row["boundary"], row["kind"], row["message"]) == ("store", "ZeroDivisionError", "report.html: oops")
