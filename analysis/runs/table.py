"""The runs table as a file, Parquet or CSV, and as a frame: the same table in each.

``docs/runs-table.md`` is its documentation. All forms follow from the Arrow table, in which what
is missing is null, and no number is NaN.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.runs.checked import check
from study.errors import StudyError, nearest
from study.files import naming

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    *("CURVES", "FIELDS", "METRICS", "SCHEMA", "SIGNATURE"),
    *("as_collected", "files", "frame", "merge", "read", "stored", "table", "write"),
]

SCHEMA = 4
"""Number of the table's form, to be raised by whoever changes what a column holds or means."""

TEXT, WHOLE, NUMBER = pa.string(), pa.int64(), pa.float64()
CURVE = pa.list_(pa.list_(NUMBER))

FIELDS: dict[str, pa.DataType] = {
    **dict.fromkeys(("id", "label", "grid", "task", "data", "mechanism", "sites"), TEXT),
    **dict.fromkeys(("seed", "version"), WHOLE),
    **dict.fromkeys(("state", "metric"), TEXT),
    **dict.fromkeys(("value", "untrained", "loss_first", "loss_last"), NUMBER),
    **dict.fromkeys(("model_macs", "model_parameters"), NUMBER),
    **dict.fromkeys(("mechanism_macs", "mechanism_parameters"), NUMBER),
    **dict.fromkeys(("input_shape", "uncounted"), TEXT),
    **dict.fromkeys(("seconds", "peak_memory_bytes"), NUMBER),
    "attempts": WHOLE,
    **dict.fromkeys(("recipe", "unused", "mechanism_versions"), TEXT),
    **dict.fromkeys(("data_card", "data_content", "commit", "code", "packages", "device"), TEXT),
    **dict.fromkeys(("finished", "error"), TEXT),
    **dict.fromkeys(("curve", "loss_curve"), CURVE),
}
"""Type of each column, in order; numbers ``metrics.<name>`` of the runs at hand follow."""

REQUIRED = (
    *("id", "task", "data", "mechanism", "sites", "seed", "version", "state", "attempts"),
    *("recipe", "curve", "loss_curve"),
)

CURVES = tuple(name for name, kind in FIELDS.items() if kind == CURVE)

METRICS = "metrics."
"""How the columns begin that hold a metric after training."""

SIGNATURE = "signature"
"""Last column of the Parquet file alone: what the run's files looked like; null: read it again."""

SUFFIXES = (".parquet", ".csv")
MAGIC = b"PAR1"  # how a Parquet file begins
NUMBER_KEY, CSV_KEY = b"study.schema", b"study.csv"  # of the Parquet file's metadata
TERMS = 4  # digits of a mechanism's word


def files(out: Path) -> tuple[Path, Path]:
    """Return the Parquet and the CSV file of a table; `out` is one of the two, or their stem."""
    if out.is_dir():
        raise StudyError(f"{out} is a folder; name a file, such as {out / 'runs.parquet'}")
    stem = out.with_suffix("") if out.suffix in SUFFIXES else out
    parquet, text = (stem.with_name(stem.name + suffix) for suffix in SUFFIXES)
    return parquet, text


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows as a table with the column `SIGNATURE`; what a row lacks is missing.

    Parameters
    ----------
    rows: sequence of dict
        Values by the name of their column; of `CURVES` each an ``array("d")`` of epoch, value,
        epoch, value, ...
    """
    schema = _schema(name for row in rows for name in row if name.startswith(METRICS))
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        columns.append(_curves(values) if field.name in CURVES else pa.array(values, field.type))
    signatures = pa.array([row.get(SIGNATURE) for row in rows], TEXT)
    return pa.Table.from_arrays(columns, schema=schema).append_column(SIGNATURE, signatures)


def merge(new: pa.Table, old: pa.Table, ids: Sequence[str]) -> pa.Table:
    """Return the runs `ids`, in this order, each from `new` if it is there, else from `old`.

    Both tables have the column `SIGNATURE`.
    """
    both = pa.concat_tables([new, old], promote_options="default")
    places: dict[str, int] = {}
    for place, name in enumerate(both["id"].to_pylist()):
        places.setdefault(name, place)
    both = both.take([places[name] for name in ids])
    used = (name for name in both.column_names if both[name].null_count < both.num_rows)
    schema = _schema(name for name in used if name.startswith(METRICS))
    return both.select([*schema.names, SIGNATURE])


def frame(runs: pa.Table) -> pd.DataFrame:
    """Return a table in the form that every other module of the analysis takes.

    Returns
    -------
    pandas.DataFrame
        The columns of `FIELDS`, and the metrics. Missing numbers and texts are NaN; curves are
        Python lists of lists [epoch, value]. ``attrs["broken"]`` is an empty list.
    """
    import pandas as pd

    names = [name for name in runs.column_names if name != SIGNATURE]
    there = runs.select([name for name in names if name not in CURVES]).to_pandas()
    for name in CURVES:
        there.insert(names.index(name), name, pd.Series(_lists(runs[name]), dtype=object))
    there.attrs["broken"] = []
    return there


def write(runs: pa.Table, parquet: Path, text: Path) -> None:
    """Write a table with the column `SIGNATURE` to both files, each whole or not at all."""
    from pyarrow import csv as arrow_csv

    flat = runs.drop_columns([SIGNATURE])
    for name in CURVES:
        place = flat.column_names.index(name)
        flat = flat.set_column(place, name, _texts(runs[name]))
    parquet.parent.mkdir(parents=True, exist_ok=True)
    beside = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in (text, parquet)]
    try:
        with naming(text, beside[0]):
            arrow_csv.write_csv(flat, beside[0])
            beside[0].replace(text)
        # The Parquet file comes last: it vouches for the CSV file, and for what was read.
        about = {NUMBER_KEY: str(SCHEMA), CSV_KEY: _stamp(text)}
        with naming(parquet, beside[1]):
            pq.write_table(runs.replace_schema_metadata(about), beside[1], compression="zstd")
            beside[1].replace(parquet)
    finally:
        for path in beside:
            path.unlink(missing_ok=True)


def stored(parquet: Path) -> pq.ParquetFile | None:
    """Return the file that `write` wrote, to be read in parts, as it is at this moment.

    None where there is no such file, or none that this schema can use.
    """
    try:
        # In memory, another process that replaces the file cannot mix two tables.
        file = pq.ParquetFile(pa.BufferReader(parquet.read_bytes()))
    except (OSError, pa.ArrowException):
        return None
    there = file.schema_arrow
    return file if _number(there) == SCHEMA and SIGNATURE in there.names else None


def as_collected(file: pq.ParquetFile, text: Path) -> bool:
    """Whether the CSV file is still the one that was written with the Parquet file."""
    return file.schema_arrow.metadata.get(CSV_KEY) == _stamp(text).encode()


def read(path: Path) -> pd.DataFrame:
    """Read what ``study collect`` wrote, either file, as the frame that `collect` gives.

    Raises
    ------
    StudyError
        If there is no such file, if it is no runs table, one of another schema, or one with a
        value that no run can have.
    """
    try:
        with path.open("rb") as file:
            parquet = file.read(len(MAGIC)) == MAGIC
        return frame(_checked(_from_parquet(path) if parquet else _from_csv(path), path))
    except FileNotFoundError:
        raise StudyError(f"no such file: {path}; study collect --out {path} writes it") from None
    except IsADirectoryError:
        raise StudyError(f"{path} is a folder, not the Parquet or CSV file of a table") from None
    except (pa.ArrowException, ValueError, csv.Error) as error:
        raise StudyError(f"{path}: no runs table of `study collect`: {error}") from None


def _schema(metrics: Iterable[str]) -> pa.Schema:
    return pa.schema(FIELDS | dict.fromkeys(sorted({*metrics}), NUMBER))


def _number(schema: pa.Schema) -> int | None:
    number = (schema.metadata or {}).get(NUMBER_KEY)
    return None if number is None else int(number)


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns}"


def _from_parquet(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        runs = file.read()
    number = _number(runs.schema)
    if number is not None and number > SCHEMA:
        raise StudyError(f"{path}: schema {number} is newer than {SCHEMA}; update this program")
    if number is not None and number < SCHEMA:
        raise StudyError(f"{path}: schema {number} is older than {SCHEMA}; collect it again")
    return runs.drop_columns([name for name in runs.column_names if name == SIGNATURE])


def _from_csv(path: Path) -> pa.Table:
    from pyarrow import csv as arrow_csv

    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    _check_names(names, path)
    kinds = FIELDS | dict.fromkeys(CURVES, TEXT)
    options = arrow_csv.ConvertOptions(
        column_types={name: kinds.get(name, NUMBER) for name in names},
        null_values=["", "NaN", "nan"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parsing = arrow_csv.ParseOptions(newlines_in_values=True)
    runs = arrow_csv.read_csv(path, parse_options=parsing, convert_options=options)
    for name in CURVES:
        lists = [json.loads(text or "[]") for text in runs[name].to_pylist()]
        runs = runs.set_column(runs.column_names.index(name), name, pa.array(lists, CURVE))
    return runs


def _check_names(names: Sequence[str], path: Path) -> None:
    if "id" not in names or not {*names} & {*FIELDS} - {"id"}:
        raise StudyError(f"{path}: no runs table of `study collect`: it has no such columns")
    for name in FIELDS:
        if name not in names:
            raise StudyError(f"{path}: the column {name!r} is missing; collect the table again")
    for name in names:
        if name not in FIELDS and not name.startswith(METRICS):
            hint = nearest(name, FIELDS) or "; a newer program may have written it"
            raise StudyError(f"{path}: unknown column {name!r}{hint}")


def _checked(runs: pa.Table, path: Path) -> pa.Table:
    """Return a table that was perhaps edited with the columns and types of `FIELDS`."""
    import pyarrow.compute as pc

    _check_names(runs.column_names, path)
    schema = _schema(name for name in runs.column_names if name.startswith(METRICS))
    runs = runs.select(schema.names).cast(schema)
    # Most programs do not tell an empty text from a missing one.
    sites = pc.fill_null(runs["sites"], "")
    runs = runs.set_column(runs.column_names.index("sites"), "sites", sites)
    for name in REQUIRED:
        if runs[name].null_count:
            row = pc.index(pc.is_null(runs[name]), True).as_py()
            raise StudyError(f"{path}: run {row + 1} has no {name!r}")
    for word in runs["mechanism"].unique().to_pylist():
        if word.isdecimal() and len(word) != TERMS:
            raise StudyError(
                f"{path}: mechanism {word!r} has lost its zeros to a program that took it for a "
                "number; collect the table again, and read that column as text"
            )
    for name in CURVES:
        pairs = runs[name].combine_chunks().flatten()
        if not pc.all(pc.equal(pc.list_value_length(pairs), 2), min_count=0).as_py():
            raise StudyError(f"{path}: {name!r} is to hold lists of [epoch, value]")
    check(runs, path)
    return runs


def _curves(values: Sequence[Any]) -> pa.Array:
    """Return curves, each an ``array("d")``, as Arrow has them; what is not finite becomes null."""
    import numpy as np

    numbers = np.frombuffer(b"".join(values), dtype=np.float64)
    ends = np.cumsum([0, *(len(curve) // 2 for curve in values)], dtype=np.int32)
    points = np.arange(0, len(numbers) + 1, 2, dtype=np.int32)
    finite = pa.array(numbers, mask=~np.isfinite(numbers))
    return pa.ListArray.from_arrays(ends, pa.ListArray.from_arrays(points, finite))


def _parts(curves: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Return how many points each curve has, and all numbers of all curves in one row."""
    import pyarrow.compute as pc

    whole = curves.combine_chunks()
    return pc.list_value_length(whole), whole.flatten().flatten()


def _lists(curves: pa.ChunkedArray) -> list[list[list[float]]]:
    lengths, numbers = _parts(curves)
    flat = iter(numbers.to_numpy(zero_copy_only=False).tolist())
    points = list(map(list, zip(flat, flat, strict=True)))
    ends = [0, *accumulate(lengths.to_pylist())]
    return [points[start:end] for start, end in pairwise(ends)]


def _texts(curves: pa.ChunkedArray) -> pa.Array:
    """Return curves as JSON; a study's millions of numbers are too many for Python's own writer."""
    import pyarrow.compute as pc

    lengths, numbers = _parts(curves)
    words = pc.fill_null(numbers.cast(TEXT), "null")
    points = pc.binary_join_element_wise(words[::2], words[1::2], ",")
    offsets = pa.array([0, *accumulate(lengths.to_pylist())], pa.int32())
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, points), "],[")
    filled = pc.binary_join_element_wise("[[", joined, "]]", "")
    return pc.if_else(pc.equal(lengths, 0), "[]", filled)
