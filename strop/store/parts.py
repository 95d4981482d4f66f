"""Small files of single steps, gathered into one file for each table from time to time.

A gathered file lists in its metadata the small files it holds. They are removed afterwards; if a kill comes between,
readers skip them by that list, so nothing is counted twice and nothing is lost.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from strop.errors import StoreError
from strop.store.files import remove, write_file
from strop.store.schema import check_version, table

if TYPE_CHECKING:
    import pyarrow as pa

GATHERED = ("metrics", "errors")
"""Tables that end up as one file; rollouts and tokens stay in a folder for each step."""
_HOLDS = b"strop.holds"


def parts(run: Path, name: str) -> list[Path]:
    """The files that together are a table, in the order of its steps."""
    folder, whole = run / name, run / f"{name}.parquet"
    files = sorted(folder.glob("step=*/[!.]*.parquet"), key=_order) if folder.is_dir() else []
    if name not in GATHERED or not whole.is_file():
        return files
    held = _held(whole)
    return [whole, *(file for file in files if f"{file.parent.name}/{file.name}" not in held)]


def read(run: Path, name: str, files: Sequence[Path] | None = None) -> "pa.Table":
    """A whole table; columns that a file of an older strop lacks are null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = table(name).arrow()
    tables = []
    for path in parts(run, name) if files is None else files:
        try:
            with pq.ParquetFile(path) as file:
                found = file.read()
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        check_version(found.schema.metadata, path)
        columns = [
            found[field.name].cast(field.type) if field.name in found.column_names else pa.nulls(len(found), field.type)
            for field in schema
        ]
        tables.append(pa.Table.from_arrays(columns, schema=schema))
    return pa.concat_tables(tables) if tables else schema.empty_table()


def gather(run: Path, name: str, until: int | None = None) -> None:
    """Put the small files of a table into its one file; with `until`, rows of later steps are left out."""
    import pyarrow.compute as pc

    files = parts(run, name)
    whole = run / f"{name}.parquet"
    small = [file for file in files if file != whole]
    left = sorted((run / name).glob("step=*/[!.]*.parquet")) if (run / name).is_dir() else []
    if not small and not left and (until is None or not files):
        return
    rows = read(run, name, files)
    if until is not None:
        rows = rows.filter(pc.field("step") <= until)
    holds = [f"{file.parent.name}/{file.name}" for file in left]
    write_file(
        whole, to_bytes(rows.replace_schema_metadata({**(rows.schema.metadata or {}), _HOLDS: json.dumps(holds)}))
    )
    for file in left:
        remove(file)
    for folder in {file.parent for file in left}:
        if not any(folder.iterdir()):
            remove(folder)
    if until is not None:
        # the list has done its work: from here on, files of those names are new
        write_file(whole, to_bytes(rows))


def to_bytes(rows: "pa.Table") -> memoryview:
    """A Parquet file in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return memoryview(sink.getvalue())


def _held(whole: Path) -> set[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(whole).metadata
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{whole} cannot be read: {error}") from error
    return set(json.loads((metadata or {}).get(_HOLDS, b"[]")))


def _order(path: Path) -> tuple[int, str]:
    number = path.parent.name.removeprefix("step=")
    return (int(number) if number.isdecimal() else -1, path.name)
