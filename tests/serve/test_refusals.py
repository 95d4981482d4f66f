"""Bad requests, strangers, too much at once, clients that go away: one clear error each, and nothing is lost."""

import json
import socket
import threading
import time

import httpx2
import pytest
from served import serving, tiny, wait_until

QUESTION = [{"role": "user", "content": "2+3"}]


@pytest.fixture(scope="module")
def endpoint(tiny_model):
    with serving(tiny(tiny_model), body_bytes=20_000) as (url, app):
        yield url, app.state.gate


def post(url, body, path="chat/completions", **rest):
    return httpx2.post(f"{url}/{path}", json=body, timeout=60, **rest)


BAD = {
    "no model": ({"messages": QUESTION}, 400, "model: Field required"),
    "another model": ({"model": "gpt", "messages": QUESTION}, 404, "no model 'gpt'"),
    "another decoder": ({"model": "tiny:majorty@4", "messages": QUESTION}, 404, "Did you mean 'majority'"),
    "no decoder": ({"model": "tiny:@4", "messages": QUESTION}, 404, "no decoder ''"),
    "no number": ({"model": "tiny:majority@x", "messages": QUESTION}, 404, "number of attempts after @"),
    "0 attempts": ({"model": "tiny:majority@0", "messages": QUESTION}, 404, "number of attempts after @"),
    "too many attempts": ({"model": "tiny:majority@16", "n": 3, "messages": QUESTION}, 400, "48 attempts; at most 32"),
    "a billion attempts": ({"model": "tiny:majority@999999", "messages": QUESTION}, 400, "at most 32"),
    "n=0": ({"model": "tiny", "n": 0, "messages": QUESTION}, 400, "n: Input should be greater"),
    "no messages": ({"model": "tiny", "messages": []}, 400, "messages"),
    "a role": ({"model": "tiny", "messages": [{"role": "wizard", "content": "x"}]}, 400, "messages.0.role"),
    "a picture": (
        {"model": "tiny", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        400,
        "messages.0.content",
    ),
    "a long prompt": (
        {"model": "tiny", "messages": [{"role": "user", "content": "1" * 500}]},
        400,
        "503 tokens and the context of tiny is 96",
    ),
    "temperature": ({"model": "tiny", "temperature": -1, "messages": QUESTION}, 400, "temperature"),
    "NaN": (
        '{"model": "tiny", "temperature": NaN, "messages": [{"role": "user", "content": "2"}]}',
        400,
        "temperature",
    ),
    "top_p": ({"model": "tiny", "top_p": 0, "messages": QUESTION}, 400, "top_p"),
    "a seed": ({"model": "tiny", "seed": 2**64, "messages": QUESTION}, 400, "seed"),
    "tools": ({"model": "tiny", "tools": [{"type": "function"}], "messages": QUESTION}, 400, "tools is not supported"),
    "stop": ({"model": "tiny", "stop": ["\n"], "messages": QUESTION}, 400, "stop is not supported"),
    "a penalty": ({"model": "tiny", "frequency_penalty": 1, "messages": QUESTION}, 400, "frequency_penalty"),
    "a slip": ({"model": "tiny", "temprature": 1, "messages": QUESTION}, 400, "Did you mean 'temperature'"),
    "logprobs in a chat": ({"model": "tiny", "logprobs": True, "messages": QUESTION}, 400, "logprobs"),
    "no JSON": ("{", 400, "JSON"),
    "a list": ("[]", 400, "expected a JSON object"),
    "deep JSON": ("[" * 10_000, 400, ""),
    "too large": ({"model": "tiny", "messages": [{"role": "user", "content": "1" * 30_000}]}, 413, "20000 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_one_clear_error(endpoint, name):
    (url, gate), (body, status, said) = endpoint, BAD[name]
    content = body if isinstance(body, str) else json.dumps(body)
    reply = httpx2.post(
        f"{url}/chat/completions", content=content, headers={"content-type": "application/json"}, timeout=60
    )
    error = reply.json()["error"]
    assert reply.status_code == status, error
    assert said in error["message"]
    assert gate.attempts == 0


def test_a_bad_completion_is_one_clear_error(endpoint):
    url, _ = endpoint
    for body, said in (
        ({"prompt": [10, 10**9]}, "token ids must be in 0 to"),
        ({"prompt": [], "max_tokens": 3}, "prompt"),
        ({"prompt": ["2", "3"]}, "prompt"),
        ({"prompt": "2", "model": "tiny:majority@2"}, "decoders answer conversations"),
        ({"prompt": "2", "stop_token_ids": [-1]}, "stop_token_ids"),
    ):
        reply = post(url, {"model": "tiny"} | body, "completions")
        assert reply.status_code == 400
        assert said in reply.json()["error"]["message"]


def test_a_body_whose_length_nobody_said_is_cut_off(endpoint):
    url, _ = endpoint

    def endless():
        for _ in range(100):
            yield b" " * 1000

    reply = httpx2.post(f"{url}/chat/completions", content=endless(), headers={"content-type": "application/json"})
    assert reply.status_code == 413


def test_a_page_in_a_browser_cannot_ask(tiny_model):
    """Its requests carry its own host name, or come as plain text without asking first."""
    with serving(tiny(tiny_model), hosts=("127.0.0.1", "localhost")) as (url, _):
        body = json.dumps({"model": "tiny", "messages": QUESTION})
        assert httpx2.get(f"{url}/models").status_code == 200
        assert httpx2.get(f"{url}/models", headers={"host": "evil.example:80"}).status_code == 403
        plain = httpx2.post(f"{url}/chat/completions", content=body, headers={"content-type": "text/plain"})
        assert plain.status_code >= 400


def test_the_key_is_wanted_everywhere_but_for_health(tiny_model):
    with serving(tiny(tiny_model), key="open sesame") as (url, _):
        body = {"model": "tiny", "messages": QUESTION, "max_tokens": 2}
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "open sesame"}):
            assert post(url, body, headers=headers).status_code == 401
            assert httpx2.get(f"{url}/models", headers=headers).status_code == 401
        assert post(url, body, headers={"authorization": "Bearer open sesame"}).status_code == 200
        assert httpx2.get(url.removesuffix("/v1") + "/health").json()["status"] == "ok"


def test_more_than_the_gate_takes_is_sent_away_and_what_runs_is_finished(tiny_model):
    with serving(tiny(tiny_model, slots=2, capacity=8), attempts=8, per_request=8, tokens=64) as (url, app):
        gate, replies = app.state.gate, []

        def ask(number):
            body = {"model": "tiny:majority@4", "messages": QUESTION, "seed": number}
            replies.append(post(url, body))

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
        for thread in threads:
            thread.start()
        most = 0
        while any(thread.is_alive() for thread in threads):
            most = max(most, gate.attempts)
            time.sleep(0.005)
        assert 4 <= most <= 8
        sent_away = [reply for reply in replies if reply.status_code == 429]
        assert sent_away
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in sent_away)
        assert "at most 8" in sent_away[0].json()["error"]["message"]
        answered = [reply for reply in replies if reply.status_code == 200]
        assert len(answered) + len(sent_away) == 12
        assert gate.attempts == gate.requests == 0


def test_whoever_goes_away_frees_its_room(tiny_model, monkeypatch):
    from strop.serve.live_batch import LiveBatch

    added, add, dropped, drop = [], LiveBatch.add, [], LiveBatch.drop
    monkeypatch.setattr(LiveBatch, "add", lambda batch, call: (add(batch, call), added.append(call)))
    monkeypatch.setattr(LiveBatch, "drop", lambda batch, call: (dropped.append(len(call.jobs)), drop(batch, call)))
    source = tiny(tiny_model, slots=1, capacity=16)
    with serving(source, attempts=16, per_request=16, tokens=90) as (url, app):
        port = int(url.split(":")[2].split("/")[0])
        for stream in (True, False):
            body = json.dumps({"model": "tiny", "messages": QUESTION, "n": 16, "stream": stream}).encode()
            head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                assert wait_until(lambda: app.state.gate.attempts == 16)
                assert wait_until(lambda: len(added) > len(dropped))
            assert wait_until(lambda: app.state.gate.attempts == 0)
            # and in the batch, too: the next answer need not wait for the sixteen before it
            assert wait_until(lambda: len(dropped) == len(added))
        assert len(dropped) == 2
        assert min(dropped) > 0
        assert post(url, {"model": "tiny", "messages": QUESTION, "max_tokens": 2}).status_code == 200


def test_a_request_that_takes_too_long_ends(tiny_model):
    slow = tiny(tiny_model, slots=1, capacity=64)
    with serving(slow, seconds=0.05, tokens=90) as (url, app):
        body = {"model": "tiny", "messages": QUESTION, "n": 32}
        reply = post(url, body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")
        assert "No whole answer within 0.05 s" in post(url, body | {"stream": True}).text
        assert wait_until(lambda: app.state.gate.attempts == 0)


def test_weights_that_break_cost_their_requests_and_not_the_server(tiny_model):
    import torch

    source = tiny(tiny_model)
    weight = source.source.sampler.model.net.get_output_embeddings().weight
    kept = weight.detach().clone()
    with serving(source) as (url, _):
        body = {"model": "tiny", "messages": QUESTION, "max_tokens": 4}
        with torch.no_grad():
            weight.fill_(float("nan"))
        for stream in (False, True):
            assert "not finite" in post(url, body | {"stream": stream}).text
        with torch.no_grad():
            weight.copy_(kept)
        assert post(url, body).status_code == 200
