"""`strop serve` itself: what it refuses before it loads anything, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading

import httpx2
import pytest

from strop.errors import ConfigError
from strop.serve.run import named, serve

QUESTION = [{"role": "user", "content": "2+3"}]


def test_another_address_wants_a_key(monkeypatch):
    monkeypatch.delenv("STROP_SERVE_KEY", raising=False)
    for host in ("0.0.0.0", "::", "192.168.1.7", "example.org"):
        with pytest.raises(ConfigError, match=r"lets other machines in.*export STROP_SERVE_KEY"):
            serve(["nano"], host=host)


def test_an_address_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port} cannot be listened on"):
            serve(["nano"], port=port)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (["nano", "nano"], "Two models would be called 'nano'"),
        (["a=nano", "a=micro"], "Two models would be called 'a'"),
        (["a="], "Expected MODEL or NAME=MODEL"),
        (["a b=nano"], "Expected MODEL or NAME=MODEL"),
    ],
)
def test_names_that_cannot_be(models, said):
    with pytest.raises(ConfigError, match=said):
        named(models)


def test_names_of_servers():
    assert named(["http://127.0.0.1:1/v1#qwen"]) == {"qwen": "http://127.0.0.1:1/v1#qwen"}
    assert named(["big=http://127.0.0.1:1/v1#qwen"]) == {"big": "http://127.0.0.1:1/v1#qwen"}


def test_told_to_stop_it_finishes_what_runs():
    """A long answer is under way when the signal comes: it arrives whole, and the next caller finds nobody."""
    environment = {name: value for name, value in os.environ.items() if name != "STROP_SERVE_KEY"}
    command = [sys.executable, "-m", "strop.cli.main", "serve", "n=nano", "--port", "0", "--slots", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = re.search(r"http://127.0.0.1:\d+/v1", line)[0]
            replies = []

            def ask():
                # one slot and forty attempts: some seconds
                body = {"model": "n:majority@40", "messages": QUESTION, "max_tokens": 400}
                replies.append(httpx2.post(f"{url}/chat/completions", json=body, timeout=120))

            asking = threading.Thread(target=ask)
            asking.start()
            while httpx2.get(url.removesuffix("/v1") + "/health").json()["attempts"] == 0:
                assert asking.is_alive()
            process.send_signal(signal.SIGTERM)
            asking.join(120)
            assert replies[0].status_code == 200
            assert replies[0].json()["choices"][0]["message"]["content"]
            assert process.wait(30) in (0, -signal.SIGTERM)
            with pytest.raises(httpx2.ConnectError):
                httpx2.get(f"{url}/models")
        finally:
            process.kill()
