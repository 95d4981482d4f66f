"""Asking a server: retries, time-outs, streams, and one clear sentence for whatever goes wrong."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from types import TracebackType
from typing import Any

import httpx2

from strop.backends.http.replies import LINE_BYTES, REPLY_BYTES, Answer, Broken, Unfit, message, read_json, shown
from strop.backends.http.server import KEY, Server
from strop.errors import BackendError
from strop.keys import Key

LATER = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""Statuses that say "not now"."""
LONGEST_PAUSE = 60.0


class Refused(Exception):
    """The server understood and declined: another form of the request may do."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status, self.said = status, said


class Client:
    """One server's connections; lives in one event loop."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.seen = False
        """Whether the server has answered anything yet: until then, an unreachable one is not asked again."""
        headers = {"Accept-Encoding": "identity"}
        if server.key:
            headers["Authorization"] = f"Bearer {server.key}"
        self._http = httpx2.AsyncClient(
            headers=headers,
            # loading the certificates of the world takes a tenth of a second, and http has no use for them
            verify=server.url.startswith("https:"),
            timeout=httpx2.Timeout(connect=server.connect_s, read=server.idle_s, write=server.idle_s, pool=None),
            limits=httpx2.Limits(max_connections=server.concurrency, max_keepalive_connections=server.concurrency),
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """What the server says of the models it has; empty where it keeps no list, or cannot give it."""

        async def ask() -> list[dict[str, Any]]:
            async with self._http.stream("GET", f"{self.server.url}/models") as response:
                body = await self._whole(response)
                self.seen = True
                if response.status_code >= 400 and response.status_code not in (401, 403):
                    return []
                self._check(response, body)
                data = read_json(body).get("data")
                if not isinstance(data, list):
                    raise Broken(f"the list of models is {shown(data)}")
                return [card for card in data if isinstance(card, dict) and isinstance(card.get("id"), str)]

        try:
            return await self._persistently(ask)
        except Unfit as problem:
            raise BackendError(f"{self.server.url} gives no list of models ({problem}).") from None

    async def answer(
        self,
        path: str,
        body: Mapping[str, Any],
        new: Callable[[], Answer],
        heard: Callable[[Answer], None] | None = None,
    ) -> Answer:
        """Post `body` and read the streamed answer; a lost one is asked for again from its beginning.

        `heard` sees the answer after every chunk; a second try makes it shorter again. Raises `Refused` and `Unfit`
        to whoever knows another way to ask, `BackendError` where nothing helps.
        """

        async def ask() -> Answer:
            answer = new()
            async with self._http.stream("POST", f"{self.server.url}/{path}", json=body) as response:
                if response.status_code != 200:
                    self._check(response, await self._whole(response))
                    raise Broken(f"status {response.status_code}")
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    async with contextlib.aclosing(self._events(response)) as events:
                        async for data in events:
                            answer.add(data)
                            if heard:
                                heard(answer)
                else:
                    answer.add(await self._whole(response))  # a server that does not stream
                    if heard:
                        heard(answer)
            if not answer.finish:
                raise Broken(f"the answer broke off after {len(answer.tokens) or len(answer.text)} "
                             f"{'tokens' if answer.tokens else 'characters'}")  # fmt: skip
            return answer

        return await self._persistently(ask)

    async def _persistently(self, ask: Callable[[], Any]) -> Any:
        server, problem = self.server, ""
        for attempt in range(server.retries + 1):
            wait = server.pause_s * 2**attempt
            try:
                async with asyncio.timeout(server.answer_s):
                    return await ask()
            except _Later as later:
                problem, wait = str(later), wait if later.seconds is None else later.seconds
            except Broken as broken:
                problem = str(broken)
            except TimeoutError:
                problem = f"no whole answer within {server.answer_s:g} s"
            except httpx2.TimeoutException as error:
                problem = f"no sign of life in time ({type(error).__name__})"
            except (httpx2.TransportError, httpx2.DecodingError, httpx2.StreamError) as error:
                problem = f"{type(error).__name__}: {shown(error)}"
                if isinstance(error, httpx2.ConnectError) and not self.seen:
                    raise BackendError(
                        f"No server answers at {server.url} ({shown(error)}). Check the address, or start one: "
                        "vllm serve MODEL, or strop serve MODEL"
                    ) from None
            if attempt < server.retries:
                # spread out, or all that were lost together would come back together
                spread = Key.root(attempt).fold(str(id(ask))).random().uniform(0.75, 1.25)
                await asyncio.sleep(min(wait * spread, LONGEST_PAUSE))
        raise BackendError(
            f"{server.text}: {problem}; given up after {server.retries + 1} tries. Look at the server's log; a server "
            "that is overloaded may do with a lower concurrency."
        )

    def _check(self, response: httpx2.Response, body: bytes) -> None:
        """Raise what a status says."""
        status, server = response.status_code, self.server
        self.seen = True
        if status == 200:
            return
        try:
            said = message(read_json(body))
        except Broken:
            said = shown(body, 300) or "no explanation"
        if status in (401, 403):
            given = "does not accept the key in" if server.key else "wants a key, and there is none in"
            raise BackendError(f"{server.url} {given} {KEY} ({status}: {said}). Next: export {KEY}=...")
        if 300 <= status < 400:
            raise BackendError(
                f"{server.url} has moved to {shown(response.headers.get('location', 'nowhere'))}; redirects are not "
                "followed, since the key would go along. Give the new address."
            )
        if status in LATER:
            raise _Later(f"status {status}: {said}", _seconds(response.headers.get("retry-after", "")))
        raise Refused(status, said)

    async def _whole(self, response: httpx2.Response) -> bytes:
        parts, size = [], 0
        async for part in self._raw(response):
            parts.append(part)
            size += len(part)
            if size > REPLY_BYTES:
                raise Unfit(f"a reply of more than {REPLY_BYTES} bytes")
        return b"".join(parts)

    async def _events(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        """The data of each server-sent event, up to `[DONE]`."""
        rest = b""
        async with contextlib.aclosing(self._raw(response)) as parts:
            async for part in parts:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        data = line[5:].strip()
                        if data == b"[DONE]":
                            await _drain(parts)
                            return
                        yield data
                if len(rest) > LINE_BYTES:
                    raise Unfit(f"a line of more than {LINE_BYTES} bytes")
        if rest.startswith(b"data:") and rest[5:].strip() not in (b"", b"[DONE]"):
            yield rest[5:].strip()

    async def _raw(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        # nothing is unpacked: a small reply could become a huge one
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Unfit(f"a reply packed with {shown(response.headers['content-encoding'])} though none was asked for")
        self.seen = True
        async for part in response.aiter_raw():
            yield part


async def _drain(parts: AsyncGenerator[bytes, None]) -> None:
    """Read the end of a stream, so that its connection can be used again; not for long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            async for _ in parts:
                pass


class _Later(Exception):
    """Not now; perhaps after this many seconds."""

    def __init__(self, said: str, seconds: float | None) -> None:
        super().__init__(said)
        self.seconds = seconds


def _seconds(header: str) -> float | None:
    """
    >>> _seconds("3"), _seconds("Wed, 21 Oct 2026 07:28:00 GMT"), _seconds("-1"), _seconds("nan")
    (3.0, None, None, None)
    """
    try:
        value = float(header)
    except ValueError:
        return None
    return value if value >= 0 else None
