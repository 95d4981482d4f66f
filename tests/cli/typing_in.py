"""Commands as somebody types them."""

import json

from typer.testing import CliRunner


def run(app, *arguments):
    """What the command prints; its error, where it ends with one."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def numbers(app, *arguments):
    """What it says with `--json`."""
    return json.loads(run(app, *arguments, "--json").splitlines()[-1])
