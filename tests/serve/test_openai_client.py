"""The official Python client, unchanged."""

import pytest
from served import serving, tiny

openai = pytest.importorskip("openai", reason="the official client is not installed: pip install openai")
QUESTION = [{"role": "user", "content": "2+3"}]


@pytest.fixture(scope="module")
def client(tiny_model):
    with serving(tiny(tiny_model), key="hush", per_request=8, attempts=8) as (url, _):
        yield openai.OpenAI(base_url=url, api_key="hush", max_retries=0)


def test_whole_and_streamed(client):
    whole = client.chat.completions.create(model="tiny", messages=QUESTION, seed=3, max_completion_tokens=20)
    stream = client.chat.completions.create(
        model="tiny", messages=QUESTION, seed=3, max_completion_tokens=20, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    events = list(stream)
    told = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert told == whole.choices[0].message.content
    assert events[-1].usage == whole.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_a_decoder_by_the_name_of_the_model(client):
    reply = client.chat.completions.create(model="tiny:majority@4", messages=QUESTION, temperature=0)
    assert reply.model == "tiny:majority@4"
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert reply.model_extra["strop"]["attempts"] == 4


def test_models(client):
    assert {model.id for model in client.models.list()} >= {"tiny", "tiny:majority"}
    assert client.models.retrieve("tiny").owned_by == "strop"


def test_completions_with_log_probabilities(client):
    reply = client.completions.create(model="tiny", prompt="2+3", max_tokens=5, logprobs=1, seed=1)
    assert len(reply.choices[0].logprobs.token_logprobs) == reply.usage.completion_tokens


def test_errors_are_the_clients_own(client):
    with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
        client.chat.completions.create(model="gpt", messages=QUESTION)
    with pytest.raises(openai.BadRequestError, match="at most 8"):
        client.chat.completions.create(model="tiny:majority@9", messages=QUESTION)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").chat.completions.create(model="tiny", messages=QUESTION)
