"""What a run folder holds, declared once: every table, every column, its type and its meaning.

The Arrow schemas of the files, the DuckDB views and the documentation page are all made from `TABLES`. A change of
meaning or type raises `SCHEMA_VERSION`; a new column at the end of a table does not.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strop.errors import StoreError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
"""Written into the metadata of every file; readers refuse a newer one."""

VERSION_KEY, WRITER_KEY = b"strop.schema_version", b"strop.version"

_DUCKDB = {
    "int32": "INTEGER",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
    "map<string, float64>": "MAP(VARCHAR, DOUBLE)",
    "list<int32>": "INTEGER[]",
    "list<bool>": "BOOLEAN[]",
    "list<float32>": "FLOAT[]",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    type: str
    """Arrow type, as in the keys of `duckdb_type`."""
    meaning: str
    """What it says and in which unit."""
    nullable: bool = False

    @property
    def duckdb_type(self) -> str:
        """The SQL type the view gives it."""
        return _DUCKDB[self.type]


@dataclass(frozen=True, slots=True)
class Table:
    """One table: a folder of Parquet files in the run, and a view of the same name."""

    name: str
    meaning: str
    key: tuple[str, ...]
    """Columns that name a row."""
    columns: tuple[Column, ...]

    def arrow(self) -> "pa.Schema":
        """The Arrow schema, with the schema version and the version of strop in its metadata."""
        import pyarrow as pa

        from strop import __version__

        fields = [pa.field(c.name, _arrow_type(c.type), nullable=c.nullable) for c in self.columns]
        return pa.schema(fields, {VERSION_KEY: str(SCHEMA_VERSION).encode(), WRITER_KEY: __version__.encode()})

    def view(self, source: str | None, present: Collection[str] | None = None) -> str:
        """The SQL that makes the view from `source` (a table expression), or an empty view from `None`.

        Columns that are not `present`, because an older strop wrote the files, are null.

        >>> TABLES["metrics"].view("files", ["step", "name", "value"])
        'CREATE OR REPLACE VIEW "metrics" AS
        SELECT "step", NULL::VARCHAR AS "stage", "name", "value" FROM files'
        """
        known = [] if source is None else self.names if present is None else present
        columns = [f'"{c.name}"' if c.name in known else f'NULL::{c.duckdb_type} AS "{c.name}"' for c in self.columns]
        body = "WHERE false" if source is None else f"FROM {source}"
        return f'CREATE OR REPLACE VIEW "{self.name}" AS SELECT {", ".join(columns)} {body}'

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return [column.name for column in self.columns]


_STEP = Column("step", "int32", "Step of the whole run, counted over all stages; 0 is before the first update.")
_STAGE = Column("stage", "string", "Name of the stage of the recipe.")
_SPLIT = Column("split", "string", "`train`, or `heldout` for attempts that never reach the learner.")
_GROUP = Column("group", "int32", "Position of the problem among those of its step and split, from 0.")
_PROBLEM = Column("problem_id", "string", "`task/split/index`: enough to make the problem again.")
_SAMPLE = Column("sample", "int32", "Which attempt at the problem, from 0.")

_METRICS = Table(
    "metrics",
    "Every logged number of every step, one row for each. Names that begin with `time/` or `rate/` measure the "
    "machine and differ between two runs of one recipe; all others are the same for the same seed.",
    ("step", "name"),
    (_STEP, _STAGE, Column("name", "string", "Name of the number."), Column("value", "float64", "The number.")),
)
_ROLLOUTS = Table(
    "rollouts",
    "Every attempt, also those the learner never saw, with the reason.",
    ("step", "split", "group", "sample"),
    (
        _STEP, _STAGE, _SPLIT, _GROUP, _PROBLEM,
        Column("task", "string", "Name of the task the problem comes from."),
        Column("difficulty", "int32", "Level the problem was drawn at; 0 where its task has none."),
        _SAMPLE,
        Column("question", "string", "Last user turn before the attempt."),
        Column("reference", "string", "What the answer is compared with; JSON where it is no string."),
        Column("response", "string", "Everything the model wrote, thought and answer, without the end-of-turn token."),
        Column("finish", "string", "`stop`, or `length` where the token budget cut it."),
        Column("origin", "string", "Who wrote it: `policy`, `expert`, `replay` or `teacher`."),
        Column("checkpoint", "string", "Which weights wrote it; `step=000010` where the run did not say."),
        Column("tokens", "int32", "Tokens the writer wrote, tool results not counted; 0 where unknown."),
        Column("prompt_tokens", "int32", "Tokens of the prompt; 0 where unknown."),
        Column("outcome", "string", "`right`, `wrong`, `unparsable`, `timeout`, `error`; null if none.", nullable=True),
        Column("answer", "string", "The answer as the verifier read it; null if it found none.", nullable=True),
        Column("detail", "string", "What the verifier adds: the exception, the seconds of a timeout."),
        Column("score", "float64", "1 if right, else 0; null if not judged.", nullable=True),
        Column("reward", "float64", "Sum of the reward parts."),
        Column("rewards", "map<string, float64>", "The reward parts by name, each already weighted."),
        Column("advantage", "float64", "Mean advantage over the written tokens, as the learner used it."),
        Column("dropped", "string", "Why it did not reach the learner; empty where it did."),
    ),
)  # fmt: skip
_TOKENS = Table(
    "tokens",
    "The token ids behind the rollouts that have them; joins `rollouts` on its key.",
    ("step", "split", "group", "sample"),
    (
        _STEP, _SPLIT, _GROUP, _PROBLEM, _SAMPLE,
        Column("prompt_ids", "list<int32>", "Token ids of the prompt."),
        Column("token_ids", "list<int32>", "Token ids after the prompt, the end-of-turn token included."),
        Column("mask", "list<bool>", "True where the policy wrote the token; false on tool results. Null: all true.",
               nullable=True),
        Column("logp", "list<float32>", "Log-probability of each token when it was drawn, nats; NaN where unknown. "
               "Null: unknown for all.", nullable=True),
    ),
)  # fmt: skip
_ERRORS = Table(
    "errors",
    "What went wrong without ending the run; one row for each event.",
    (),
    (
        _STEP,
        Column("boundary", "string", "Where: `task`, `verifier`, `sandbox`, `backend` or `store`."),
        Column("kind", "string", "Class of the exception, or `timeout`."),
        Column("message", "string", "What it said."),
        Column("problem_id", "string", "The problem it befell; empty if none."),
        Column("sample", "int32", "The attempt it befell; -1 if none."),
    ),
)

TABLES: Mapping[str, Table] = {t.name: t for t in (_METRICS, _ROLLOUTS, _TOKENS, _ERRORS)}
"""Every table of a run folder, by name."""


def table(name: str) -> Table:
    """The table called `name`.

    >>> table("errors").columns[1].name
    'boundary'
    """
    if name not in TABLES:
        raise StoreError(f"A run has no table {name!r}. {did_you_mean(name, TABLES)}")
    return TABLES[name]


def check_version(metadata: Mapping[bytes, bytes] | None, path: object) -> None:
    """Refuse a file written with a newer schema than this one."""
    text = (metadata or {}).get(VERSION_KEY, b"0").decode(errors="replace")
    found = int(text) if text.isdecimal() else 0
    if not 1 <= found <= SCHEMA_VERSION:
        writer = (metadata or {}).get(WRITER_KEY, b"another program").decode(errors="replace")
        raise StoreError(
            f"{path} has schema version {found or 'none'}, written by strop {writer}; this strop reads 1 to "
            f"{SCHEMA_VERSION}. Next: pip install --upgrade strop"
        )


def markdown() -> str:
    """The tables as Markdown, for the documentation."""
    parts: list[str] = []
    for each in TABLES.values():
        key = f" Key: {', '.join(f'`{name}`' for name in each.key)}." if each.key else ""
        parts += [f"## `{each.name}`", "", each.meaning + key, "", "| column | type | meaning |", "|---|---|---|"]
        parts += [f"| `{c.name}` | `{c.type}` | {c.meaning} |" for c in each.columns]
        parts.append("")
    return "\n".join(parts)


def _arrow_type(name: str) -> Any:
    import pyarrow as pa

    if name.startswith("list<"):
        return pa.list_(_arrow_type(name[5:-1]))
    if name.startswith("map<"):
        key, _, value = name[4:-1].partition(", ")
        return pa.map_(_arrow_type(key), _arrow_type(value))
    return getattr(pa, name)() if name != "bool" else pa.bool_()
