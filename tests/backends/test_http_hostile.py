"""The HTTP sampler with servers that fail, lie or are not there: one clear error each, and nothing waits for ever."""

import dataclasses
import socket
import time

import numpy as np
import pytest
from http_server import MODEL, chat_chunks, chunks, send, serving, stream, wait_until

from strop.backends.http import Server, open_sampler
from strop.errors import BackendError
from strop.records import Request, Turn


def ask(server, tokenizer, seeds=(7,), exact=False, mode="tokens", max_tokens=8, **changes):
    """Open a sampler and draw; returns the completions by sample."""
    sampler = open_sampler(dataclasses.replace(server, mode=mode, **changes), tokenizer=tokenizer, exact=exact)
    prompt = sampler.tokenizer.prompt([Turn("user", "2+3")])
    request = Request(prompt=prompt, seeds=list(seeds), max_tokens=max_tokens)
    return {c.sample: c for c in sampler.generate([request])}


def good(handler, body, logp=(-0.5, -0.25)):
    stream(handler, chunks([12, 3], logp))


def after_the_first(reply):
    """Good to the question that opening asks, `reply` from then on."""
    seen = []

    def script(handler, body):
        seen.append(1)
        (good if len(seen) == 1 else reply)(handler, body)

    return script


def test_no_server(tokenizer):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(BackendError, match=r"No server answers at http://127.0.0.1:\d+/v1.*vllm serve"):
        open_sampler(f"http://127.0.0.1:{port}#{MODEL}", tokenizer=tokenizer)
    assert time.monotonic() - started < 5


def test_a_wrong_key_and_none(tokenizer, monkeypatch):
    with serving(good, key="right") as (_, server):
        monkeypatch.delenv("STROP_API_KEY", raising=False)
        with pytest.raises(BackendError, match=r"wants a key, and there is none in STROP_API_KEY"):
            open_sampler(server, tokenizer=tokenizer)
        monkeypatch.setenv("STROP_API_KEY", "very-wrong")
        with pytest.raises(BackendError, match=r"does not accept the key in STROP_API_KEY") as caught:
            open_sampler(server, tokenizer=tokenizer)
        assert "very-wrong" not in str(caught.value)
        monkeypatch.setenv("STROP_API_KEY", "right")
        assert ask(server, tokenizer)[0].tokens.tolist() == [12, 3]


def test_an_unknown_model(tokenizer):
    def unknown(handler, body):
        send(handler, 404, {"error": {"message": f"The model `{body['model']}` does not exist."}})

    with (
        serving(unknown, models=("qwen3", "llama")) as (_, server),
        pytest.raises(BackendError, match=r"serves no model 'qwen33'.*does not exist.*Did you mean 'qwen3'"),
    ):
        open_sampler(dataclasses.replace(server, model="qwen33"), tokenizer=tokenizer)


def test_a_server_without_a_list_of_models_is_taken_at_its_word(tokenizer):
    with serving(good, models=None) as (_, server):
        assert ask(server, tokenizer)[0].tokens.tolist() == [12, 3]


def test_no_log_probabilities(tokenizer):
    def without(handler, body):
        stream(handler, chunks([12, 3]))

    with serving(without) as (_, server):
        assert np.isnan(ask(server, tokenizer)[0].logp).all()
        with pytest.raises(BackendError, match=r"returns no log-probabilities.*importance ratio"):
            ask(server, tokenizer, exact=True)
    # a server that stops giving them in the middle of a run
    with (
        serving(after_the_first(without)) as (_, server),
        pytest.raises(BackendError, match="returns no log-probabilities"),
    ):
        ask(server, tokenizer, exact=True)


def test_a_server_of_text_cannot_serve_a_policy_gradient(tokenizer):
    def chat(handler, body):
        if "messages" not in body:
            return send(handler, 404, {"detail": "Not Found"})
        return stream(handler, chat_chunks(["yes"]))

    with serving(chat) as (_, server), pytest.raises(BackendError, match=r"cannot be asked in token ids.*404"):
        ask(server, tokenizer, exact=True, mode="auto")


def test_a_server_that_dies_in_the_middle_is_asked_again(tokenizer):
    tries = []

    def dying(handler, body):
        tries.append(body)
        if len(tries) < 3:
            return stream(handler, chunks([12, 13], [-1.0, -1.0], finish=None), done=False, close=True)
        return stream(handler, chunks([14, 3], [-0.5, -0.25]))

    with serving(after_the_first(dying)) as (_, server):
        actual = ask(server, tokenizer)[0]
    assert actual.tokens.tolist() == [14, 3]  # nothing is left of the broken ones
    np.testing.assert_allclose(actual.logp, [-0.5, -0.25])
    assert tries[0] == tries[1] == tries[2]


@pytest.mark.parametrize("close", [True, False], ids=["cut", "ended early"])
def test_a_server_that_always_dies_is_given_up(tokenizer, close):
    def dying(handler, body):
        stream(handler, chunks([12, 13], [-1.0, -1.0], finish=None), done=False, close=close)

    with (
        serving(after_the_first(dying)) as (script, server),
        pytest.raises(BackendError, match=r"given up after 3 tries"),
    ):
        ask(server, tokenizer)
    assert len(script.asked) == 1 + 3


def test_answers_that_came_before_a_failure_are_not_lost(tokenizer):
    def some(handler, body):
        good(handler, body) if body["seed"] < 3 else send(handler, 400, {"error": {"message": "too much"}})

    with serving(some) as (_, server):
        sampler = open_sampler(dataclasses.replace(server, concurrency=1), tokenizer=tokenizer)
        request = Request(prompt=tokenizer.prompt([Turn("user", "2")]), seeds=[1, 2, 3], max_tokens=8)
        actual = []
        with pytest.raises(BackendError, match="400: too much"):
            actual.extend(iter(sampler.generate([request])))
    assert [c.sample for c in actual] == [0, 1]


def test_later_means_later(tokenizer):
    tries = []

    def busy(handler, body):
        tries.append(time.monotonic())
        if len(tries) == 1:
            return send(handler, 429, {"error": {"message": "slow down"}}, retry_after="0.3")
        return send(handler, 503, b"<html>overloaded</html>") if len(tries) == 2 else good(handler, body)

    with serving(after_the_first(busy)) as (_, server):
        assert ask(server, tokenizer)[0].tokens.tolist() == [12, 3]
    assert tries[1] - tries[0] >= 0.3 * 0.75


def test_silence_and_trickles_end(tokenizer):
    def silent(handler, body):
        time.sleep(2)

    def trickle(handler, body):
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        while True:
            handler.wfile.write(b": still here\n")
            time.sleep(0.02)

    started = time.monotonic()
    with serving(after_the_first(silent)) as (_, server), pytest.raises(BackendError, match="no sign of life"):
        ask(server, tokenizer, idle_s=0.2, retries=1)
    with serving(after_the_first(trickle)) as (_, server), pytest.raises(BackendError, match="no whole answer"):
        ask(server, tokenizer, answer_s=0.3, retries=1)
    assert time.monotonic() - started < 10


def event(**choice):
    return {"choices": [{"index": 0, "text": "0", "finish_reason": "stop"} | choice]}


LIES = {
    "no JSON": ("{nonsense", "no JSON"),
    "deep JSON": ("[" * 100_000, "no JSON"),
    "a list": ([1, 2], "no JSON object"),
    "no choices": ({"id": "x"}, "without choices"),
    "two choices": ({"choices": [{"index": 0}, {"index": 1}]}, "other choices"),
    "an error in the stream": ({"error": {"message": "CUDA out of\x1b[31m memory"}}, "CUDA out of .31m memory"),
    "words as ids": (event(token_ids=["12"]), "not given as numbers"),
    "true as an id": (event(token_ids=[True]), "not given as numbers"),
    "ids beyond the vocabulary": (event(token_ids=[10**6]), "another tokenizer"),
    "negative ids": (event(token_ids=[-1]), "another tokenizer"),
    "more tokens than asked for": (event(token_ids=[12] * 9), "more tokens than the 8"),
    "no ids after all": (event(), "token ids are not given"),
    "a probability above 1": (event(token_ids=[12], logprobs={"token_logprobs": [0.7]}), "no log-probability"),
    "NaN": ('{"choices": [{"token_ids": [12], "logprobs": {"token_logprobs": [NaN]}}]}', "no log-probability"),
    "null": (event(token_ids=[12], logprobs={"token_logprobs": [None]}), "no log-probability"),
    "too few log-probabilities": (event(token_ids=[12, 3], logprobs={"token_logprobs": [-1]}), "1 log-prob.* for 2"),
    "text that is none": (event(text=["a"], token_ids=[12]), "expected text"),
    "a reason that is none": (event(token_ids=[12], finish_reason=5), "finish_reason is 5"),
    "endless text": (event(text="x" * 10_000, token_ids=[12]), "more text than 8 tokens"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_one_clear_error(tokenizer, name):
    lie, said = LIES[name]
    with (
        serving(after_the_first(lambda handler, body: stream(handler, [lie]))) as (_, server),
        pytest.raises(BackendError, match=said) as caught,
    ):
        ask(server, tokenizer, retries=0)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


def test_an_endless_line_and_a_packed_reply_are_refused(tokenizer):
    def endless(handler, body):
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65536)

    with serving(after_the_first(endless)) as (script, server):
        with pytest.raises(BackendError, match="a line of more than 1048576 bytes"):
            ask(server, tokenizer)
        assert wait_until(lambda: script.busy == 0)
    packed = after_the_first(lambda handler, body: send(handler, 200, b"\x1f\x8b", content_encoding="gzip"))
    with serving(packed) as (_, server), pytest.raises(BackendError, match="packed with gzip"):
        ask(server, tokenizer)


def test_redirects_are_not_followed(tokenizer):
    moved = after_the_first(lambda handler, body: send(handler, 307, b"", location="http://evil.example/v1"))
    with serving(moved) as (_, server), pytest.raises(BackendError, match=r"has moved to http://evil.example/v1"):
        ask(server, tokenizer)


def test_another_tokenizer_is_noticed(tokenizer):
    def other(handler, body):
        stream(handler, chunks([12, 13, 3], [-0.5] * 3, text=lambda t: "no"))

    with serving(other) as (_, server), pytest.raises(BackendError, match=r"reads the ids .* as 'nonono'"):
        open_sampler(server, tokenizer=tokenizer)


def test_an_empty_answer(tokenizer):
    def empty(handler, body):
        stream(handler, chat_chunks([], finish=body.get("finish", "stop")))

    with serving(empty) as (_, server):
        actual = ask(server, tokenizer, mode="chat")[0]
        assert actual.tokens.tolist() == [tokenizer.end_id]
        with pytest.raises(BackendError, match="empty answer"):
            ask(server, tokenizer, mode="chat", extra={"finish": "length"})


def test_many_failures_at_once_are_one_error(tokenizer):
    with serving(after_the_first(lambda handler, body: send(handler, 500, {}))) as (script, server):
        with pytest.raises(BackendError, match="status 500"):
            ask(server, tokenizer, seeds=range(40), retries=0)
        assert wait_until(lambda: script.busy == 0)


def test_keys_are_in_nothing_that_is_printed(monkeypatch):
    monkeypatch.setenv("STROP_API_KEY", "hush")
    server = Server(url="http://h", model="m")
    assert server.key == "hush"
    assert "hush" not in repr(server) + server.text
