"""What every sampler checks of a request before it draws."""

import numpy as np

from strop.errors import BackendError
from strop.records import Request


def check(where: str, request: Request, context: int, vocab: int | None = None, *, sees: bool = False) -> None:
    """Raise `BackendError` where a request cannot be drawn from a model with this context and vocabulary (where that is
    known), by a sampler that gives it images only where it `sees`.

    >>> check("request 0", Request(prompt=np.array([1, 2]), seeds=[0], max_tokens=4), context=2, vocab=8)
    Traceback (most recent call last):
    strop.errors.BackendError: request 0: the prompt has 2 tokens and the model's context is 2, ...
    """
    prompt = np.asarray(request.prompt)
    if not len(prompt):
        raise BackendError(f"{where}: the prompt is empty; it needs at least one token.")
    if len(prompt) >= context:
        raise BackendError(
            f"{where}: the prompt has {len(prompt)} tokens and the model's context is {context}, which leaves no room "
            "for a response. Shorten the prompt or use a model with a longer context."
        )
    if vocab is not None and (prompt.min() < 0 or prompt.max() >= vocab):
        raise BackendError(f"{where}: token ids must be in 0 to {vocab - 1}, got {prompt.min()} to {prompt.max()}.")
    if request.images and not sees:
        raise BackendError(
            f"{where}: comes with {len(request.images)} images, and only the torch sampler gives images to a model, to "
            "one that sees. Leave out --sampler, or take a model such as scratch:vision."
        )
    if request.max_tokens < 1:
        raise BackendError(f"{where}: max_tokens must be at least 1, got {request.max_tokens}.")
    if not request.temperature >= 0 or not 0 < request.top_p <= 1 or request.top_k < 0:
        raise BackendError(
            f"{where}: needs temperature >= 0, 0 < top_p <= 1 and top_k >= 0, got temperature={request.temperature}, "
            f"top_p={request.top_p}, top_k={request.top_k}."
        )
