"""Load on `strop serve`: requests and tokens per second, and how long a request takes, at several concurrencies.

    python benchmarks/serve_load.py                              # starts `strop serve nano` on loopback
    python benchmarks/serve_load.py --url http://HOST/v1 --model NAME

Clients run in this process, so on a machine with few cores they take part of what the server could use; `--json FILE`
keeps the numbers. Each client sends its next request when the last one is answered. A request is counted as refused
where the server answered 429 or 503; it is sent again after the time the server named.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np


@contextmanager
def server(model: str, slots: int, attempts: int) -> Iterator[str]:
    """`strop serve` on a free port, ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "strop.cli.main", "serve", model, "--port", str(port), "--slots", str(slots)]
    process = subprocess.Popen([*command, "--attempts", str(attempts), "--per-request", str(attempts)])
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with code {process.returncode}")
            try:
                httpx2.get(f"{url}/health", timeout=5).raise_for_status()
                break
            except httpx2.HTTPError:
                time.sleep(0.2)
        yield f"{url}/v1"
    finally:
        process.terminate()
        process.wait(60)


async def load(url: str, model: str, clients: int, seconds: float, max_tokens: int, stream: bool) -> dict[str, Any]:
    """What `clients` clients see in `seconds`, after a second that is not counted."""
    took: list[float] = []
    first: list[float] = []
    tokens = refused = 0
    failures: list[str] = []
    begin = time.perf_counter() + 1.0
    end = begin + seconds

    async def client(number: int, http: httpx2.AsyncClient) -> None:
        nonlocal tokens, refused
        chance = random.Random(number)
        while (started := time.perf_counter()) < end:
            question = "+".join(str(chance.randint(1, 99)) for _ in range(4))
            body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": max_tokens,
                    "seed": chance.getrandbits(32), "stream": stream}  # fmt: skip
            if stream:
                body["stream_options"] = {"include_usage": True}
            status, used, waited, said = await ask(http, body)
            now = time.perf_counter()
            if status in (429, 503):
                refused += begin <= now < end
                await asyncio.sleep(float(said))
            elif status != 200:
                failures.append(f"{status}: {said[:200]}")
            elif begin <= now < end:
                took.append(now - started)
                first.append(waited)
                tokens += used

    async def ask(http: httpx2.AsyncClient, body: dict[str, Any]) -> tuple[int, int, float, str]:
        started, waited, used = time.perf_counter(), 0.0, 0
        async with http.stream("POST", f"{url}/chat/completions", json=body) as reply:
            if reply.status_code != 200:
                text = (await reply.aread()).decode()
                return reply.status_code, 0, 0.0, reply.headers.get("retry-after", text)
            if not stream:
                used = json.loads(await reply.aread())["usage"]["completion_tokens"]
                return 200, used, time.perf_counter() - started, ""
            async for line in reply.aiter_lines():
                if line.startswith("data: {"):
                    event = json.loads(line[6:])
                    delta = event["choices"][0]["delta"] if event.get("choices") else {}
                    if delta.get("content") and not waited:
                        waited = time.perf_counter() - started
                    used = event.get("usage", {}).get("completion_tokens", used) if "usage" in event else used
            return 200, used, waited, ""

    key = os.environ.get("STROP_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx2.AsyncClient(timeout=600, limits=limits, headers=headers, verify=url.startswith("https")) as http:
        await asyncio.gather(*(client(number, http) for number in range(clients)))
    if failures:
        raise SystemExit(f"{len(failures)} requests failed, the first with {failures[0]}")
    lasting = np.array(took) if took else np.array([np.nan])
    return {
        "model": model,
        "clients": clients,
        "requests": len(took),
        "refused": refused,
        "requests_per_s": len(took) / seconds,
        "tokens_per_s": tokens / seconds,
        "p50_ms": 1000 * float(np.percentile(lasting, 50)),
        "p95_ms": 1000 * float(np.percentile(lasting, 95)),
        "first_text_p50_ms": 1000 * float(np.median(first)) if stream and first else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a running server; without it one is started")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--names", nargs="*", default=["{}", "{}:majority@8"], help="{} stands for the model")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--attempts", type=int, default=1024)
    parser.add_argument("--whole", action="store_true", help="ask for whole answers, not for streams")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def measure(url: str) -> None:
        heads = ("clients", "req/s", "tok/s", "p50 ms", "p95 ms", "first ms", "refused")
        print(f"{'model':<18}" + "".join(f"{head:>9}" for head in heads))
        for name in given.names:
            for clients in given.clients:
                asked = name.format(given.model)
                row = asyncio.run(load(url, asked, clients, given.seconds, given.max_tokens, not given.whole))
                rows.append(row)
                first = "-" if row["first_text_p50_ms"] is None else f"{row['first_text_p50_ms']:.0f}"
                rates = f"{row['requests_per_s']:>9.1f}{row['tokens_per_s']:>9.0f}"
                times = f"{row['p50_ms']:>9.0f}{row['p95_ms']:>9.0f}{first:>9}"
                print(f"{asked:<18}{clients:>9}{rates}{times}{row['refused']:>9}", flush=True)

    if given.url:
        measure(given.url)
    else:
        with server(given.model, given.slots, given.attempts) as url:
            measure(url)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
