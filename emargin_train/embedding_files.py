"""Embeddings in a file, written as they come: Parquet or Arrow, one row for each frame."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from emargin_train.errors import UserError
from emargin_train.trained_encoder import Encoded

ENDINGS = (".parquet", ".arrow")


def check(out: Path) -> None:
    """Raises UserError for an ending that is no format."""
    if out.suffix not in ENDINGS:
        raise UserError(f"--out is {out}, but its ending decides the format: give .parquet or .arrow")


def table(encoded: Encoded) -> pa.Table:
    """One row for each frame: record, subject, start_s, label (null = unlabelled), h."""
    n, width = encoded.h.shape
    return pa.table(
        {
            "record": pa.array([encoded.record] * n, pa.string()),
            "subject": pa.array([encoded.subject] * n, pa.string()),
            "start_s": encoded.start_s,
            "label": pa.array(encoded.label, pa.string()),
            "h": pa.FixedSizeListArray.from_arrays(pa.array(encoded.h.reshape(-1)), width),
        }
    )


def write(found: Iterable[Encoded], out: Path) -> Iterator[Encoded]:
    """Write embeddings; yields each part once it is written.

    The file appears under its name when it is whole. Raises UserError where there is nothing to write.
    """
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    writer: Any = None
    with contextlib.ExitStack() as stack:
        stack.callback(part.unlink, missing_ok=True)
        for encoded in found:
            rows = table(encoded)
            if writer is None:
                begin = pq.ParquetWriter if out.suffix == ".parquet" else pa.ipc.new_file
                writer = begin(str(part), rows.schema)
            writer.write_table(rows)
            yield encoded
        if writer is None:
            raise UserError("no recording is as long as a frame of the encoder: give longer ones")
        writer.close()
        part.replace(out)
