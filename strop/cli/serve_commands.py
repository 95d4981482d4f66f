"""`strop serve`."""

from typing import Annotated

import typer


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            help="nano, a folder, a name on the hub, a run folder or http://HOST/v1#MODEL; NAME=... names it."
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own wants a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    slots: Annotated[int, typer.Option(min=1, help="Attempts drawn at once, for each model.")] = 64,
    attempts: Annotated[int, typer.Option(min=1, help="Attempts that may wait or run; beyond that: status 429.")] = 512,
    per_request: Annotated[int, typer.Option(min=1, help="Attempts of one request: n times the budget.")] = 128,
    tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an attempt.")] = 4096,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time limit of a request.")] = 600.0,
    checkpoints: Annotated[
        int, typer.Option(min=1, help="Newest checkpoints of a run folder to load, for NAME:temporal@N.")
    ] = 1,
    tokenizer: Annotated[str | None, typer.Option(help="Model whose tokenizer another server's model has.")] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
) -> None:
    """Serve models with OpenAI's protocol; a name such as nano:majority@16 chooses how answers are found."""
    from strop.piece import build
    from strop.serve.limits import Limits
    from strop.serve.run import serve as run

    given = {"attempts": attempts, "per_request": per_request, "tokens": tokens, "seconds": seconds}
    run(
        models, host=host, port=port, slots=slots, precision=precision, tokenizer=tokenizer, checkpoints=checkpoints,
        limits=build(Limits, given, "serve"), say=lambda text: print(text, flush=True),
    )  # fmt: skip
