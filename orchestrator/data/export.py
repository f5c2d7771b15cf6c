"""Export: everything stored as CSV or Parquet, one file a table, exact to the last bit of every float."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.base.errors import UsageError
from orchestrator.base.files import whole
from orchestrator.data import frames
from orchestrator.store import queries
from orchestrator.store.database import Store


def export(store: Store, sweeps: Sequence[str] | None, out: Path, format: Literal["csv", "parquet"]) -> list[Path]:
    """Write every table of `orchestrator.data.frames.TABLES`, all as of one moment, and return the files.

    CSV has missing as nothing, NaN as ``NaN`` and infinities as ``inf``. The folder is created if missing; a file there
    takes its new content at once, when it is complete.

    Raises:
        SelectionError: There is no sweep of such a name.
        UsageError: The folder cannot be written to.
    """
    for name in sweeps or ():
        queries.sweep_id(store, name)
    write = {"csv": _write_csv, "parquet": _write_parquet}[format]
    paths = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        with store.read() as connection:
            for table in frames.TABLES:
                path = out / f"{table}.{format}"
                with closing(frames.batches(connection, table, sweeps)) as batches, whole(path) as aside:
                    write(aside, frames.schema(table), batches)
                paths.append(path)
    except OSError as error:
        raise UsageError(f"cannot export to {out}: {error.strerror or error}") from error
    return paths


Batches = Iterable[pa.RecordBatch]


def _write_parquet(path: Path, schema: pa.Schema, batches: Batches) -> None:
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_csv(path: Path, schema: pa.Schema, batches: Batches) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(schema.names)
        for batch in batches:
            columns = [map(_cell, column.to_pylist()) for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))


def _cell(value: Any) -> Any:
    # The csv module writes floats as their shortest exact form, but NaN in lower case, unlike most readers.
    return "NaN" if isinstance(value, float) and math.isnan(value) else value
