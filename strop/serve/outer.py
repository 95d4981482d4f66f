"""What happens before a request is looked at: the key, the host it was addressed to, its size."""

import contextlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import ClientDisconnect

from strop.serve.replies import error

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/health",)
"""Paths that want no key."""


class Outer:
    """ASGI middleware; refuses without reading the body where it can."""

    def __init__(self, app: App, key: str, hosts: tuple[str, ...], body_bytes: int) -> None:
        self.app, self.key, self.hosts, self.body_bytes = app, key.encode(), hosts, body_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        # a page in a browser can have its own name point to this machine; its requests still carry that name
        if not self.key and self.hosts and _host(headers.get(b"host", b"")) not in self.hosts:
            await _refuse(send, 403, "wrong_host", f"This server answers only to {', '.join(self.hosts)}.")
            return
        if self.key and scope["path"] not in OPEN_PATHS:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self.key):
                said = "Give the key of this server as bearer: Authorization: Bearer ..."
                await _refuse(send, 401, "invalid_api_key", said, (b"www-authenticate", b"Bearer"))
                return
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.body_bytes:
            await _too_large(send, self.body_bytes)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            # as if the client had gone: nothing more is read
            return message if read <= self.body_bytes else {"type": "http.disconnect"}

        async def unless_too_large(message: Message) -> None:
            if read <= self.body_bytes:
                await send(message)

        with contextlib.suppress(ClientDisconnect):
            await self.app(scope, counted, unless_too_large)
        if read > self.body_bytes:
            await _too_large(send, self.body_bytes)


def _host(header: bytes) -> str:
    """
    >>> _host(b"127.0.0.1:8000"), _host(b"[::1]:80"), _host(b"Localhost")
    ('127.0.0.1', '::1', 'localhost')
    """
    text = header.decode("latin-1").lower()
    return text[1 : text.find("]")] if text.startswith("[") else text.split(":")[0]


async def _too_large(send: Send, limit: int) -> None:
    await _refuse(send, 413, "too_large", f"A request may have {limit} bytes.")


async def _refuse(send: Send, status: int, code: str, said: str, *more: tuple[bytes, bytes]) -> None:
    body = json.dumps(error(said, code)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    # what is left of the request is not read, so the connection cannot be used again
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
