"""Checked rows set aside in a temporary file, so that a file is read once however large it is."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyarrow import ipc


class Spool:
    """Record batches of one schema, written once and read as often as wanted."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the spool
        weakref.finalize(self, self._file.close)
        self._writer: ipc.RecordBatchFileWriter | None = None
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Set rows aside."""
        if self._writer is None:
            options = ipc.IpcWriteOptions(compression="lz4")
            self._writer = ipc.new_file(self._file, batch.schema, options=options)
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def finish(self) -> None:
        """No more rows will come."""
        if self._writer is not None:
            self._writer.close()

    def batches(
        self, change: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None
    ) -> Callable[[], Iterator[pa.RecordBatch]]:
        """Read the rows back, each batch changed on its way."""

        def read() -> Iterator[pa.RecordBatch]:
            if self._writer is None:
                return
            self._file.seek(0)
            reader = ipc.open_file(self._file)
            for place in range(reader.num_record_batches):
                batch = reader.get_batch(place)
                yield change(batch) if change else batch

        return read
