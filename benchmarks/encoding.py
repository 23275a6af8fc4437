"""Memory and time of encoding one long file (Linux).

python -m benchmarks.encoding                # 8 h and 24 h of two channels at 250 Hz, half a minute
python -m benchmarks.encoding --long         # also a week, minutes

encoding_memory_mb_24h   growth of the memory while a file of a day is encoded, compared with one of 8 hours
encoding_times_real_time hours of signal encoded in an hour, on one core
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import parser_of, peak_growth, report
from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Frames, Splits
from emargin_train.data.signal_file import FileOptions
from emargin_train.data.signal_spec import SignalSpec
from emargin_train.embedding_files import write
from emargin_train.encode import Encoding
from emargin_train.train import train
from emargin_train.trained_encoder import load_encoder

SPEC = SignalSpec(("I", "II"), ("mV", "mV"), 250.0, 1500, 750, (0.0, 0.0), (1.0, 1.0), 200)  # as dataset ecg
HEADER = "x 2 250 {n}\nx.dat 16 1000/mV 16 0 0 {total} 0 I\nx.dat 16 1000/mV 16 0 0 {total} 0 II\n"


def write_checkpoint(folder: Path) -> Path:
    """An encoder after one step on noise: what it learned does not matter here."""
    rng = np.random.default_rng(0)
    x = rng.random((8, SPEC.sequence_length, SPEC.n_features)).astype(np.float32)
    y, who = np.zeros(x.shape[:2], np.int64), np.array(["s"] * len(x))
    frames = Frames(x, np.arange(len(x)), y, who, who, np.zeros(len(x), np.int64))
    splits = Splits(frames, frames, None, ("a",), "noise", 1.0, {}, ())
    *_, state = train(TrainConfig.from_dict({"iterations": 1}), replace(splits, signal=SPEC))
    checkpoint.save(state, folder / "encoder.pt")
    return folder / "encoder.pt"


def write_record(folder: Path, hours: int) -> Path:
    """A WFDB record of noise, whose samples sum to 0."""
    folder.mkdir()
    n = hours * 3600 * int(SPEC.rate_hz)
    half = np.random.default_rng(0).integers(-2000, 2000, (int(1800 * SPEC.rate_hz), 2)).astype("<i2")
    with (folder / "x.dat").open("wb") as file:
        for _ in range(hours):
            file.write(half.tobytes())
            file.write((-half).tobytes())
    (folder / "x.hea").write_text(HEADER.format(n=n, total=0))
    return folder / "x.hea"


def encoding(path: Path, source: Path, out: Path) -> Iterator[int]:
    """Numbers of frames, as they are written."""
    work = Encoding.of(load_encoder(path), str(source), None, FileOptions())
    return (len(encoded.h) for encoded in write(work.run(), out))


def main() -> None:
    parser = parser_of("encoding", __doc__)
    parser.add_argument("--long", action="store_true", help="also a week")
    hours = (8, 24, 168) if parser.parse_args().long else (8, 24)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = write_checkpoint(Path(folder))
        grown: dict[int, float] = {}
        for n in (1, *hours):  # the first one loads libraries, and does not count
            source, out = write_record(Path(folder) / str(n), n), Path(folder) / "x.parquet"
            begun = time.perf_counter()
            grown[n] = peak_growth(lambda source=source, out=out: sum(encoding(path, source, out))) / 1e6
            speed = n * 3600 / (time.perf_counter() - begun)
        for n in hours[1:]:
            report(f"encoding_memory_mb_{n}h", grown[n], "MB", baseline=grown[hours[0]])
        report("encoding_times_real_time", speed, "times real time")


if __name__ == "__main__":
    main()
