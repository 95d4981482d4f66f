"""What a request may say. A field that would change the answer and is not supported is an error, never ignored."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from strop.errors import did_you_mean
from strop.records import Turn

IGNORED = ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls",
           "request_id", "skip_special_tokens", "spaces_between_special_tokens", "add_special_tokens")  # fmt: skip
"""Fields that say nothing about the answer."""
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,), "presence_penalty": (0,), "repetition_penalty": (1,), "min_p": (0,), "min_tokens": (0,),
    "logit_bias": ({},), "response_format": ({"type": "text"},), "tools": ([],), "tool_choice": ("none", "auto"),
    "functions": ([],), "stop": ([], ""), "top_logprobs": (0,), "best_of": (1,), "echo": (False,), "suffix": ("",),
    "ignore_eos": (False,), "modalities": (["text"],), "chat_template_kwargs": ({},), "use_beam_search": (False,),
}  # fmt: skip
"""Fields that are accepted with the value that means "as if it were not there", or null."""
Probability = Annotated[float, Field(gt=0, le=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextPart(BaseModel):
    """Text is the only kind of content there is."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message; names and other decoration are left out."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None

    @property
    def turn(self) -> Turn:
        content = self.content or ""
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return Turn("system" if self.role == "developer" else self.role, text)


class StreamOptions(BaseModel):
    include_usage: bool = False


class Sampling(Strict):
    """What both endpoints have in common."""

    model: str
    n: Annotated[int, Field(ge=1)] = 1
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    """strop's own and vLLM's: 0 or -1 keeps all."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_supported(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise ValueError("expected a JSON object")
        left = {}
        for name, value in given.items():
            if name in IGNORED or (name not in cls.model_fields and value is None):
                continue
            if name in NEUTRAL and name not in cls.model_fields:
                if value not in NEUTRAL[name]:
                    raise ValueError(f"{name} is not supported: leave it out")
                continue
            if name not in cls.model_fields:
                raise ValueError(f"there is no field {name[:100]!r}. {did_you_mean(name[:100], cls.model_fields)}")
            left[name] = value
        return left


class ChatRequest(Sampling):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=4096)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: Literal[False] | None = None
    """Given by /v1/completions."""


class CompletionRequest(Sampling):
    """POST /v1/completions: continues a text or tokens with a plain model."""

    prompt: str | Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1)]
    logprobs: Annotated[int, Field(ge=0, le=1)] | None = None
    """1 or 0: that of the drawn token, under the distribution it was drawn from."""
    return_token_ids: bool | None = None
    """As vLLM's: the ids of prompt and answer beside the text."""
    return_tokens_as_token_ids: bool | None = None
    stop_token_ids: list[int] | None = None
    """Ids that end an answer beside those that end a turn."""
