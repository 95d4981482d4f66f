"""The HTTP sampler with a server that behaves: what is asked, what is read, what is refused."""

import dataclasses
import json
import time

import numpy as np
import pytest
from http_server import MODEL, chat_chunks, chunks, send, serving, stream, wait_until

from strop.backends.http import open_sampler
from strop.errors import BackendError, ConfigError
from strop.records import Request, Turn

QUESTION = [Turn("user", "2+3")]


def tokens_of(body):
    """What the fake model says: its seed's last three digits, then the end of the turn (id 3)."""
    said = [10 + int(digit) for digit in f"{body['seed'] % 1000:03d}"]
    return [*said[: body["max_tokens"] - 1], 3]


def by_tokens(handler, body):
    """A server like vLLM's: token ids in and out; the log-probability of a token is minus its id over 100."""
    if not handler.path.endswith("/v1/completions"):
        return send(handler, 404, {"detail": "Not Found"})
    tokens = tokens_of(body)
    logp = [-t / 100 for t in tokens] if "logprobs" in body else None
    return stream(handler, chunks(tokens, logp, text=lambda t: "" if t == 3 else " \n0123456789"[t - 10]))


def by_chat(handler, body):
    """A server that knows conversations only."""
    if handler.path.endswith("/v1/completions"):
        return send(handler, 422, {"detail": "Unexpected fields in the request: {'prompt'}"})
    return stream(handler, chat_chunks(["ye", f"s{body['seed']}"]))


def request(sampler, seeds=(7,), **settings):
    return Request(prompt=sampler.tokenizer.prompt(QUESTION), seeds=list(seeds), **{"max_tokens": 8} | settings)


def test_tokens_and_log_probabilities_are_the_servers(tokenizer):
    with serving(by_tokens) as (script, server):
        sampler = open_sampler(server, tokenizer=tokenizer, exact=True)
        actual = {(c.request, c.sample): c for c in sampler.generate([request(sampler, (123, 456)), request(sampler)])}
    expected = {(0, 0): [11, 12, 13, 3], (0, 1): [14, 15, 16, 3], (1, 0): [10, 10, 17, 3]}
    assert {place: c.tokens.tolist() for place, c in actual.items()} == expected
    for place, completion in actual.items():
        np.testing.assert_allclose(completion.logp, [-t / 100 for t in expected[place]], rtol=1e-6)
        assert completion.finish == "stop"
    assert not sampler.chat
    assert sampler.context == 64
    assert script.asked[-1][1]["prompt"] == tokenizer.prompt(QUESTION).tolist()


def test_what_the_server_would_take_from_its_own_defaults_is_sent_as_neutral(tokenizer):
    with serving(by_tokens) as (script, server):
        sampler = open_sampler(server, tokenizer=tokenizer)
        list(sampler.generate([request(sampler, (2**64 - 1,), temperature=0.5)]))
    _, actual = script.asked[-1]
    expected = {
        "model": MODEL, "temperature": 0.5, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0, "stop_token_ids": sorted(tokenizer.eos_ids),
    }  # fmt: skip
    assert {name: actual[name] for name in expected} == expected
    assert actual["seed"] == -1  # the same 64 bits, signed


@pytest.mark.parametrize("settings", [{"temperature": 0.7}, {"top_p": 0.9}, {"top_k": 5}], ids=lambda s: next(iter(s)))
def test_log_probabilities_of_another_distribution_are_unknown_or_refused(tokenizer, settings):
    with serving(by_tokens) as (_, server):
        plain = open_sampler(server, tokenizer=tokenizer)
        [completion] = plain.generate([request(plain, **settings)])
        assert np.isnan(completion.logp).all()
        exact = open_sampler(server, tokenizer=tokenizer, exact=True)
        with pytest.raises(BackendError, match=f"{next(iter(settings))}=.*biased.*logprobs=processed"):
            list(exact.generate([request(exact, **settings)]))
        told = open_sampler(dataclasses.replace(server, logprobs="processed"), tokenizer=tokenizer, exact=True)
        [completion] = told.generate([request(told, **settings)])
        assert not np.isnan(completion.logp).any()


def test_the_most_likely_token_has_log_probability_0(tokenizer):
    with serving(by_tokens) as (_, server):
        sampler = open_sampler(server, tokenizer=tokenizer, exact=True)
        [completion] = sampler.generate([request(sampler, temperature=0.0)])
    assert completion.logp.tolist() == [0.0] * 4


def test_an_answer_that_stops_without_its_end_of_turn_gets_one(tokenizer):
    def silent(handler, body):
        stream(handler, chunks([11, 12], [-0.5, -0.25], text=lambda t: str(t - 12 + 2 - 1)))

    with serving(silent) as (_, server):
        sampler = open_sampler(server, tokenizer=tokenizer)
        [completion] = sampler.generate([request(sampler)])
    assert completion.tokens.tolist() == [11, 12, tokenizer.end_id]
    np.testing.assert_array_equal(completion.logp, np.float32([-0.5, -0.25, np.nan]))
    assert completion.finish == "stop"


def test_an_answer_cut_by_its_length_has_no_end_of_turn(tokenizer):
    def long(handler, body):
        stream(handler, chunks([12] * body["max_tokens"], text=lambda t: "0", finish="length"))

    with serving(long) as (_, server):
        sampler = open_sampler(server, tokenizer=tokenizer)
        [completion] = sampler.generate([request(sampler, max_tokens=5)])
        assert (completion.tokens.tolist(), completion.finish) == ([12] * 5, "length")
        # what the context leaves is less than what was asked for
        [completion] = sampler.generate([request(sampler, max_tokens=500)])
        assert len(completion.tokens) == 64 - len(tokenizer.prompt(QUESTION))


def test_a_server_of_conversations_gives_text_without_log_probabilities(tokenizer):
    with serving(by_chat) as (script, server):
        sampler = open_sampler(server, tokenizer=tokenizer)
        [completion] = sampler.generate([request(sampler, (5 << 33,))])
    assert sampler.chat
    assert script.asked[-1][1]["messages"] == [{"role": "user", "content": "2+3"}]
    assert tokenizer.decode(completion.tokens) == "yes5"
    assert completion.tokens[-1] == tokenizer.end_id
    assert np.isnan(completion.logp).all()


def test_reasoning_that_a_server_takes_out_of_the_text_is_put_back(tokenizer):
    def thinking(handler, body):
        stream(handler, chat_chunks([("reasoning_content", "2+3"), ("reasoning", "=5"), "5"]))

    with serving(thinking) as (_, server):
        sampler = open_sampler(dataclasses.replace(server, mode="chat"), tokenizer=tokenizer)
        [completion] = sampler.generate([request(sampler)])
    assert tokenizer.decode(completion.tokens) == "<think>2+3=5</think>5"


def test_without_a_tokenizer_lengths_are_bytes():
    with serving(by_chat) as (_, server):
        sampler = open_sampler(server)
        [completion] = sampler.generate([request(sampler, (0,))])
    assert sampler.tokenizer.decode(completion.tokens) == "yes0"
    assert len(completion.tokens) == 5  # its end counts too


def test_a_prompt_put_together_from_tokens_is_no_conversation(tokenizer):
    with serving(by_chat) as (_, server):
        sampler = open_sampler(server, tokenizer=tokenizer)
        longer = dataclasses.replace(request(sampler), prompt=np.append(sampler.tokenizer.prompt(QUESTION), 11))
        with pytest.raises(BackendError, match=r"put together from tokens.*vllm serve"):
            list(sampler.generate([longer]))


def test_a_server_that_does_not_stream_is_read_as_well(tokenizer):
    def whole(handler, body):
        send(handler, 200, {"choices": [{"index": 0, "message": {"content": "yes"}, "finish_reason": "length"}]})

    with serving(whole) as (_, server):
        sampler = open_sampler(dataclasses.replace(server, mode="chat"), tokenizer=tokenizer)
        [completion] = sampler.generate([request(sampler)])
    assert (tokenizer.decode(completion.tokens), completion.finish) == ("yes", "length")


def test_no_more_than_concurrency_are_under_way(tokenizer):
    def slow(handler, body):
        time.sleep(0.02)
        by_tokens(handler, body)

    with serving(slow) as (script, server):
        sampler = open_sampler(dataclasses.replace(server, concurrency=3), tokenizer=tokenizer)
        assert len(list(sampler.generate([request(sampler, range(12))]))) == 12
    assert script.most == 3


def test_closing_the_iterator_ends_what_is_under_way(tokenizer):
    def endless(handler, body):
        if len(script.asked) == 1:
            return by_tokens(handler, body)
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        if body["seed"] == 1:
            return stream_rest(handler)
        while not handler.wfile.closed:
            handler.wfile.write(b": waiting\n\n")
            time.sleep(0.01)
        return None

    def stream_rest(handler):
        for event in chunks([12, 3], text=lambda t: ""):
            handler.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        handler.wfile.write(b"data: [DONE]\n\n")
        handler.close_connection = True

    with serving(endless) as (script, server):
        sampler = open_sampler(server, tokenizer=tokenizer)
        answers = sampler.generate([request(sampler, (1, 2, 3))])
        assert next(answers).sample == 0
        answers.close()
        assert wait_until(lambda: script.busy == 0)


def test_several_models_have_to_be_told_apart(tokenizer):
    with (
        serving(by_tokens, models=("one", "two")) as (_, server),
        pytest.raises(BackendError, match=r"name the model, it serves one, two. Next: http.*#NAME"),
    ):
        open_sampler(dataclasses.replace(server, model=""), tokenizer=tokenizer)
    with serving(by_tokens) as (script, server):
        open_sampler(server.url, tokenizer=tokenizer)
        assert script.asked[0][1]["model"] == MODEL


def test_a_model_folder_gives_its_tokenizer():
    with serving(by_chat) as (_, server):
        sampler = open_sampler(server, tokenizer="nano")
    assert sampler.tokenizer.vocab_size == 561
    assert sampler.context == 64  # the smaller of the server's and the model's


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://host/v1", "expected an address"),
        ("http://", "expected an address"),
        ("http://host:99999", "expected an address"),
        ("http://user:secret@host", "STROP_API_KEY"),
        ("http://host#m,retrys=3", "retries"),
        ("http://host#m,retries=-1", "greater than or equal to 0"),
        ("http://host#m,concurrency", "Expected ADDRESS#MODEL,name=value"),
    ],
)
def test_addresses_that_cannot_be(text, said):
    with pytest.raises(ConfigError, match=said) as caught:
        open_sampler(text)
    assert "secret" not in str(caught.value) or "user" in text
