"""What the endpoint answers, compared with the sampler and the decoders themselves."""

import json

import httpx2
import numpy as np
import pytest
from served import serving, tiny

from strop.backends.http import open_sampler
from strop.backends.torch.sampler import TorchSampler
from strop.decoders.majority import Majority
from strop.records import Problem, Request, Trajectory, Turn, Verdict
from strop.serve.answering import seeds
from strop.serve.reading import read_answer

QUESTION = [{"role": "user", "content": "2+3"}]


@pytest.fixture(scope="module")
def endpoint(tiny_model):
    with serving(tiny(tiny_model)) as (url, _):
        yield url


@pytest.fixture(scope="module")
def drawn(tiny_model, tokenizer):
    """`drawn(seed, count, **settings)`: what the sampler itself draws, by sample."""
    sampler = TorchSampler(tiny_model(), precision="fp32")

    def draw(seed, count, **settings):
        prompt = tokenizer.prompt([Turn("user", "2+3")])
        request = Request(prompt=prompt, seeds=seeds(seed, count), **{"max_tokens": 32} | settings)
        found = {c.sample: c for c in sampler.generate([request])}
        return [found[i] for i in range(count)]

    return draw


def post(url, body, path="chat/completions", **rest):
    return httpx2.post(f"{url}/{path}", json={"model": "tiny", "messages": QUESTION} | body, timeout=60, **rest)


def events(url, body, path="chat/completions"):
    """The events of a stream, without the last one, which is [DONE]."""
    base = {"model": "tiny", "stream": True} | ({"messages": QUESTION} if "chat" in path else {})
    reply = httpx2.post(f"{url}/{path}", json=base | body, timeout=60)
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = [line[6:] for line in reply.text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5, "top_k": 5}, {"temperature": 0}, {"max_tokens": 3}])
def test_a_plain_answer_is_the_samplers(endpoint, drawn, tokenizer, settings):
    reply = post(endpoint, {"n": 3, "seed": 17, **settings}).json()
    expected = drawn(17, 3, **settings)
    assert [c["message"]["content"] for c in reply["choices"]] == [tokenizer.decode(c.tokens) for c in expected]
    assert [c["finish_reason"] for c in reply["choices"]] == [c.finish for c in expected]
    assert reply["usage"]["completion_tokens"] == sum(len(c.tokens) for c in expected)
    assert reply["usage"]["prompt_tokens"] == len(tokenizer.prompt([Turn("user", "2+3")]))


def test_a_stream_says_the_same_in_pieces(endpoint):
    whole = post(endpoint, {"n": 2, "seed": 5}).json()
    pieces = events(endpoint, {"n": 2, "seed": 5, "stream_options": {"include_usage": True}})
    told, ended = ["", ""], {}
    for event in pieces[:-1]:
        [choice] = event["choices"]
        told[choice["index"]] += choice["delta"].get("content", "")
        if choice["finish_reason"]:
            ended[choice["index"]] = choice["finish_reason"]
    assert told == [c["message"]["content"] for c in whole["choices"]]
    assert ended == {c["index"]: c["finish_reason"] for c in whole["choices"]}
    assert pieces[-1]["usage"] == whole["usage"]
    assert len(pieces) > 12  # in many pieces, not in one


def test_majority_chooses_what_it_would_choose_offline(endpoint, drawn, tokenizer):
    reply = post(endpoint, {"model": "tiny:majority@8", "n": 2, "seed": 11, "temperature": 0.7}).json()
    attempts = drawn(11, 16, temperature=0.7)
    problem = Problem(id="x/0", task="x", prompt=(), reference=None)
    for number, choice in enumerate(reply["choices"]):
        texts = [tokenizer.decode(c.tokens) for c in attempts[8 * number : 8 * number + 8]]
        said = [read_answer(text) for text in texts]
        verdicts = [Verdict("unparsable") if s is None else Verdict("wrong", s) for s in said]
        chosen = Majority()([Trajectory(problem=problem, sample=i, text="", verdict=v) for i, v in enumerate(verdicts)])
        assert reply["strop"]["chosen"][number] == chosen
        assert choice["message"]["content"] == texts[chosen or 0]
    # every token that was drawn is counted
    assert reply["usage"]["completion_tokens"] == sum(len(c.tokens) for c in attempts)
    assert reply["strop"]["attempts"] == 8


def test_a_decoder_that_draws(endpoint, drawn, tokenizer):
    """First Finish Search gives the shortest attempt that ends, cut where the first one ended."""
    reply = post(endpoint, {"model": "tiny:first_finish@6", "seed": 3}).json()
    ended = reply["choices"][0]["finish_reason"] == "stop"
    length = len(tokenizer.encode(reply["choices"][0]["message"]["content"])) + ended
    assert reply["usage"]["completion_tokens"] >= 6 * length if ended else True
    again = post(endpoint, {"model": "tiny:firstfinish@6", "seed": 3}).json()
    assert again["choices"] == reply["choices"]
    streamed = events(endpoint, {"model": "tiny:first_finish@6", "seed": 3})
    text = "".join(e["choices"][0]["delta"].get("content", "") for e in streamed)
    assert text == reply["choices"][0]["message"]["content"]


def test_decoders_that_a_conversation_cannot_use_say_why(endpoint):
    reply = post(endpoint, {"model": "tiny:best_of_n@4"})
    assert reply.status_code == 404
    assert "needs a score" in reply.json()["error"]["message"]


def test_token_ids_and_log_probabilities_are_the_samplers(endpoint, drawn, tokenizer):
    body = {"prompt": tokenizer.prompt([Turn("user", "2+3")]).tolist(), "max_tokens": 32, "seed": 9, "logprobs": 1,
            "return_token_ids": True, "temperature": 0.5}  # fmt: skip
    [expected] = drawn(9, 1, temperature=0.5)
    whole = httpx2.post(f"{endpoint}/completions", json={"model": "tiny", **body}, timeout=60).json()["choices"][0]
    assert whole["token_ids"] == expected.tokens.tolist()
    np.testing.assert_allclose(whole["logprobs"]["token_logprobs"], expected.logp, atol=1e-5)
    pieces = [event["choices"][0] for event in events(endpoint, body, "completions")]
    assert [t for piece in pieces for t in piece["token_ids"]] == expected.tokens.tolist()
    assert "".join(piece["text"] for piece in pieces) == whole["text"]


@pytest.mark.parametrize("kind", ["qwen3", "mistral"])
def test_the_http_sampler_on_it_is_the_torch_sampler(tiny_model, tokenizer, kind):
    """Both ends of the protocol together change nothing: the same tokens, the same log-probabilities."""
    sampler = TorchSampler(tiny_model(kind), precision="fp32")
    requests = [
        Request(prompt=tokenizer.prompt([Turn("user", text)]), seeds=[2**64 - 1 - i, i], max_tokens=12, temperature=0.8)
        for i, text in enumerate(("2+3", "wait", "7*7-1"))
    ]
    expected = {(c.request, c.sample): c for c in sampler.generate(requests)}
    with serving(tiny(tiny_model, kind=kind)) as (url, _):
        remote = open_sampler(f"{url}#tiny,logprobs=processed", tokenizer=tokenizer, exact=True)
        actual = {(c.request, c.sample): c for c in remote.generate(requests)}
    assert remote.context == sampler.context
    assert actual.keys() == expected.keys()
    for place, completion in expected.items():
        assert actual[place].tokens.tolist() == completion.tokens.tolist()
        assert actual[place].finish == completion.finish
        np.testing.assert_allclose(actual[place].logp, completion.logp, atol=1e-5)


def test_another_server_below(tiny_model, tokenizer, drawn):
    from strop.serve.answering import Served
    from strop.serve.upstream import Upstream

    with serving(tiny(tiny_model)) as (below, _):
        for mode in ("tokens", "chat"):
            source = Upstream(open_sampler(f"{below}#tiny,mode={mode}", tokenizer=tokenizer))
            with serving(Served("above", source)) as (url, _):
                whole = post(url, {"model": "above", "temperature": 0}).json()["choices"][0]["message"]["content"]
                assert whole == tokenizer.decode(drawn(0, 1, temperature=0.0)[0].tokens)
                pieces = events(url, {"model": "above", "temperature": 0})
                assert "".join(e["choices"][0]["delta"].get("content", "") for e in pieces) == whole
                voted = post(url, {"model": "above:majority@3", "temperature": 0}).json()
                assert voted["choices"][0]["message"]["content"] == whole


def test_checkpoints_take_turns(tiny_model, tokenizer):
    newest, older = tiny(tiny_model, seed=1, name="run"), tiny(tiny_model, seed=2, name="x")
    from strop.serve.answering import Served

    served = Served("run", newest.source, {"step=000008": older.source}, "step=000016")
    asked = {"model": "run:temporal@3", "seed": 4, "temperature": 0}
    with serving(served) as (url, _):
        reply = post(url, asked).json()
    texts = []
    for seed, count in ((1, 2), (2, 1)):
        sampler = TorchSampler(tiny_model(seed=seed), precision="fp32")
        request = Request(prompt=tokenizer.prompt([Turn("user", "2+3")]), seeds=[0], max_tokens=32, temperature=0.0)
        texts += [tokenizer.decode(c.tokens) for c in sampler.generate([request])] * count
    assert reply["choices"][0]["message"]["content"] == texts[reply["strop"]["chosen"][0] or 0]
    assert reply["usage"]["completion_tokens"] >= 3


def test_models_are_listed_with_what_can_be_asked_of_them(endpoint):
    names = [card["id"] for card in httpx2.get(f"{endpoint}/models").json()["data"]]
    assert {"tiny", "tiny:majority"} <= set(names)
    assert "tiny:best_of_n" not in names
    assert httpx2.get(f"{endpoint}/models/tiny:majority@4").json()["id"] == "tiny:majority@4"
    assert httpx2.get(f"{endpoint}/models/nobody").status_code == 404
