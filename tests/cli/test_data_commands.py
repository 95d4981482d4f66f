"""`strop data`: what it builds, and what it says when it cannot."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner

pytest.importorskip("PIL", reason="pictures need Pillow: pip install 'strop[vision]'")

from strop import sandbox
from strop.cli.data_commands import endpoint, read_samples
from strop.cli.main import app
from strop.errors import BackendError, StropError, TaskError

SMALL = ["--set", "seeds=6", "--set", "evolution.generations=1"]


def strop(*words):
    return CliRunner().invoke(app, ["data", *map(str, words)])


def test_builds_what_is_asked_for(tmp_path):
    out = tmp_path / "set"
    done = strop(
        "visual_sphinx", "--out", out, "--count", 5, "--json", *SMALL, "--set", 'assembly.variants=["shuffled"]'
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["puzzles"], report["rows"], report["checked"], report["out"]) == (5, 20, 20, str(out))
    rows = [json.loads(line) for line in (out / "puzzles.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in rows] == list("ABCD") * 5
    assert all((out / name).is_file() for row in rows for name in (*row["images"], *row["options"].values()))
    other = strop("visual_sphinx", "--out", tmp_path / "other", "--count", 5, "--seed", 1, *SMALL)
    assert "5 puzzles, 5 rows, 5 of them checked" in other.stdout
    assert (tmp_path / "other" / "puzzles.jsonl").read_text() != (out / "puzzles.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["visual_sfinx"], "Nothing called 'visual_sfinx' builds a data set. Did you mean 'visual_sphinx'?"),
        (["keep_correct"], "Nothing called 'keep_correct' builds a data set."),
        (["visual_sphinx", "--model", "m"], "say where it is: --url URL"),
        (["visual_sphinx", "--allow-unsandboxed"], "say where it is: --url URL"),
        (["visual_sphinx", "--set", "sedes=3"], "seeds"),
        (["visual_sphinx", "--set", "evolution.elite=2"], "evolution.elite"),
        (["visual_sphinx", "--samples", "nowhere.jsonl"], "There is no file nowhere.jsonl"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_sentence(words, says, tmp_path):
    done = strop(*words, "--out", tmp_path / "set", "--count", 2)
    assert isinstance(done.exception, StropError)
    assert says in str(done.exception)
    assert not (tmp_path / "set" / "puzzles.jsonl").exists()


def test_a_model_is_not_asked_where_there_is_no_sandbox(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for cached in (sandbox.require, sandbox._run._require_bwrap):
        cached.cache_clear()
    # nothing listens there: whoever asked would hear of that instead
    done = strop("visual_sphinx", "--out", tmp_path / "set", "--url", "http://127.0.0.1:9", "--model", "m")
    assert "bwrap is not installed" in str(done.exception)
    assert "--allow-unsandboxed" in str(done.exception)


GOOD = {"question": "?", "explanation": "e", "options": ["x", "y"], "answer": "B"}


def test_samples_are_read(tmp_path):
    (tmp_path / "p.png").write_bytes(b"png")
    rows = [GOOD, GOOD | {"id": "mine", "image": "p.png"}]
    (tmp_path / "exam.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read_samples(tmp_path / "exam.jsonl")
    assert (first.id, first.options, first.answer, first.image) == ("sample-0", ("x", "y"), "B", b"")
    assert (second.id, second.image) == ("mine", b"png")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"answer": "C"}, "line 1: the answer is the letter of one of 2 to 10 options, got 'C'"),
        ({"answer": ""}, "line 1: the answer is"),
        ({"answer": None}, "line 1: a sample has the texts"),
        ({"options": "xy"}, "line 1: a sample has the texts"),
        ({"options": ["x", 2]}, "line 1: a sample has the texts"),
        ({"options": ["x"]}, "line 1: the answer is"),
        ({"image": "gone.png"}, "line 1: there is no picture"),
    ],
)
def test_a_broken_sample_is_named(change, says, tmp_path):
    (tmp_path / "exam.jsonl").write_text(json.dumps(GOOD | change))
    with pytest.raises(TaskError) as error:
        read_samples(tmp_path / "exam.jsonl")
    assert says in str(error.value)


@pytest.fixture
def server():
    """Says whatever the test puts into `answers`, and keeps what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            sent.append(
                (self.path, self.headers.get("Authorization"), self.rfile.read(int(self.headers["Content-Length"])))
            )
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            pass

    sent, answers = [], []
    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", answers, sent
        listening.shutdown()


def test_the_endpoint_speaks_the_protocol(server, monkeypatch):
    url, answers, sent = server
    monkeypatch.setenv("STROP_API_KEY", "swordfish")
    answers.append((200, json.dumps({"choices": [{"message": {"content": "yes"}}]}).encode()))
    messages = [{"role": "user", "content": "well?"}]
    assert endpoint(url, "m")(messages) == "yes"
    [(path, key, body)] = sent
    assert (path, key) == ("/v1/chat/completions", "Bearer swordfish")
    assert json.loads(body) == {"messages": messages, "temperature": 0.3, "model": "m"}


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (500, b"overloaded", "status 500: overloaded"),
        (302, b"", "status 302"),
        (200, b"[" * 100_000, "is not that of a chat"),
        (200, b'{"choices": []}', "is not that of a chat"),
        (200, b"x" * (5 << 20), "an answer of more than 4194304 bytes"),
    ],
)
def test_a_server_that_says_nothing_of_use(server, status, body, says):
    url, answers, _ = server
    answers.append((status, body))
    with pytest.raises(BackendError) as error:
        endpoint(url, "m")([])
    assert says in str(error.value)
    answers.append((200, b'{"choices": [{"message": {"content": null}}]}'))
    assert endpoint(url, "m")([]) == ""


def test_a_server_that_is_not_there():
    with pytest.raises(BackendError, match="Is the server running"):
        endpoint("http://127.0.0.1:9", "m")([])
