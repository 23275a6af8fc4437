"""Damaged files of every kind: a reader ends in recordings or in a UserError, soon, and in little memory.

5,000 files, each a good one with bytes overwritten, inserted, cut out or repeated, or with a number in
it replaced by an extreme one; the same ones at every run.
"""

import io
import pickle
import re
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emargin_train.data import catalogue
from emargin_train.data.settings import DataConfig
from emargin_train.data.unpack import unpack
from emargin_train.errors import UserError
from tests.emargin_train.data.made import write_edf, write_night, write_wfdb

pytestmark = pytest.mark.slow
MAX_SECONDS = 10  # of processor time, for one file of a few kB
MAX_GROWTH_MB = 400

NUMBERS = (
    b"0", b"-1", b"1", b"99999999", b"-9999999", b"1e308", b"1e-9", b"nan", b"inf", b"", b"4294967296",
    b"9223372036854775807", b"0x10", b"1/0", b"16x4294967295", b"\xff", b"..", b"../../../../etc/passwd",
)  # fmt: skip
edits = st.lists(
    st.tuples(
        st.sampled_from(("overwrite", "insert", "delete", "repeat", "number", "truncate")),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=8) | st.sampled_from(NUMBERS),
        st.integers(1, 64),
    ),
    min_size=1,
    max_size=4,
)


def mutate(content: bytes, changes: list[tuple[str, float, bytes, int]], *, head: int | None = None) -> bytes:
    """The content after the changes; `head`: only its first so many bytes are changed."""
    content, rest = content[:head], b"" if head is None else content[head:]
    for kind, where, payload, size in changes:
        at = int(where * len(content))
        if kind == "overwrite":
            content = content[:at] + payload + content[at + len(payload) :]
        elif kind == "insert":
            content = content[:at] + payload + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + size :]
        elif kind == "repeat":
            content = content[:at] + content[at : at + size] * 20 + content[at + size :]
        elif kind == "number":
            found = list(re.finditer(rb"-?\d[\d.]*", content))
            if found:
                one = found[int(where * len(found))]
                width = one.end() - one.start()
                new = payload.ljust(width)[: max(width, 8)]
                content = content[: one.start()] + new + content[one.end() + max(0, len(new) - width) :]
        else:
            content, rest = content[:at], b""
    return content + rest


def survives(name: str, folder: Path) -> None:
    """Read all there is: recordings or a UserError of one line."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()  # a machine may be busy; what waits for ever is stopped by pytest's timeout
    try:
        dataset = catalogue.find(name)
        for part in dataset.parts(DataConfig(dataset=name, data_dir=str(folder))):
            for recording in part.read():
                dataset.frame_and_hop(recording.rate_hz)
    except UserError as error:
        assert str(error) and len(str(error)) < 2000
    assert time.process_time() - start < MAX_SECONDS
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < MAX_GROWTH_MB, f"{grown_mb:.0f} MB more for one small file"


def fuzz(n: int):
    return settings(
        max_examples=n,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def ecg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ecg")
    signal = np.random.default_rng(0).normal(0, 0.3, (4000, 2))
    write_wfdb(folder, "r1", signal, [(0, "(N"), (1000, "(AFIB"), (2500, "(AFL")])
    return folder, {p.name: p.read_bytes() for p in folder.iterdir()}


def once(folder: Path, files: dict[str, bytes], name: str, content: bytes, dataset: str) -> None:
    for other, good in files.items():
        (folder / other).write_bytes(content if other == name else good)
    survives(dataset, folder)


@fuzz(500)
@given(edits)
def test_wfdb_headers(ecg, changes):
    folder, files = ecg
    once(folder, files, "r1.hea", mutate(files["r1.hea"], changes), "ecg")


@fuzz(150)
@given(edits)
def test_wfdb_annotations(ecg, changes):
    folder, files = ecg
    once(folder, files, "r1.atr", mutate(files["r1.atr"], changes), "ecg")


@fuzz(50)
@given(edits)
def test_wfdb_signals(ecg, changes):
    folder, files = ecg
    once(folder, files, "r1.dat", mutate(files["r1.dat"], changes), "ecg")


@pytest.fixture(scope="module")
def sleep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sleep")
    stages = [(2, "W"), (1, "1"), (1, "2"), (1, "R"), (1, "W")]
    write_night(folder, "SC4001", stages, np.random.default_rng(0))
    return folder, {p.name: p.read_bytes() for p in folder.iterdir()}


@fuzz(350)
@given(edits)
def test_edf_headers(sleep, changes):
    folder, files = sleep
    good = files["SC4001E0-PSG.edf"]
    once(folder, files, "SC4001E0-PSG.edf", mutate(good, changes, head=256 * 4), "sleepeeg")


@fuzz(250)
@given(edits)
def test_edf_annotations(sleep, changes):
    folder, files = sleep
    good = files["SC4001EC-Hypnogram.edf"]
    once(folder, files, "SC4001EC-Hypnogram.edf", mutate(good, changes), "sleepeeg")


TOML = """
title = "made up"
classes = ["a", "b"]
rate_hz = 20
gap_s = 2.5

[[signal]]
files = "{subject}_{take:1}.csv"
channels = ["x", 3]
names = ["one", "two"]
units = ["g", "g"]
time = "t"
time_unit = "ms"

[labels]
from = "intervals"
file = "{subject}_{take}.marks"
start = "from"
duration = 2
column = "what"
map = { 1 = "a", 2 = "b" }

[subject]
same = [["s1", "s2"]]

[frames]
length_s = 1.0
hop_s = 0.5
sequence_length = 4
normalise = "channel"
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    rows = [f"{k * 50 + k % 3},{np.sin(k):.4f},{k % 7},note {k}" for k in range(120)]
    csv = ("\n".join(["t,x,y,z", *rows]) + "\n").encode()
    marks = b"from,seconds,what\n0,1.5,1\n2,2.5,2\n"
    return folder, {
        "my.toml": TOML.encode(),
        "s1_1.csv": csv,
        "s1_1.marks": marks,
        "s2_1.csv": csv,
        "s2_1.marks": marks,
    }


def test_the_unchanged_table_is_read(table):
    folder, files = table
    for name, content in files.items():
        (folder / name).write_bytes(content)
    dataset = catalogue.find(str(folder / "my.toml"))
    recordings = [
        r for part in dataset.parts(DataConfig(dataset=str(folder / "my.toml"))) for r in part.read()
    ]
    assert [r.subject for r in recordings] == ["s1+s2", "s1+s2"] and set(recordings[0].labels) == {-1, 0, 1}


@fuzz(500)
@given(edits)
def test_tomls(table, changes):
    folder, files = table
    once(folder, files, "my.toml", mutate(files["my.toml"], changes), str(folder / "my.toml"))


@fuzz(300)
@given(edits)
def test_csvs(table, changes):
    folder, files = table
    once(folder, files, "s1_1.csv", mutate(files["s1_1.csv"], changes), str(folder / "my.toml"))


@fuzz(100)
@given(edits)
def test_label_files(table, changes):
    folder, files = table
    once(folder, files, "s1_1.marks", mutate(files["s1_1.marks"], changes), str(folder / "my.toml"))


@pytest.fixture(scope="module")
def columnar(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parquet")
    file = io.BytesIO()
    pa.parquet.write_table(pa.table({"x": np.arange(200.0), "label": ["a", "b"] * 100}), file)
    toml = (
        '[signal]\nfiles = "*.parquet"\nchannels = ["x"]\nrate_hz = 20\n[labels]\nfrom = "column"\n'
        'column = "label"\n[frames]\nlength_s = 1\nsequence_length = 3\n'
    )
    return folder, {"my.toml": toml.encode(), "a.parquet": file.getvalue()}


@fuzz(150)
@given(edits)
def test_parquets(columnar, changes):
    folder, files = columnar
    once(folder, files, "a.parquet", mutate(files["a.parquet"], changes), str(folder / "my.toml"))


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pt")
    file = io.BytesIO()
    torch.save({"samples": torch.zeros(4, 1, 20), "labels": torch.tensor([0, 1, 0, 1])}, file)
    return folder, {"train.pt": file.getvalue(), "val.pt": file.getvalue()}


@fuzz(250)
@given(edits)
def test_torch_packs(packs, changes):
    folder, files = packs
    once(folder, files, "train.pt", mutate(files["train.pt"], changes), "packed")


@pytest.fixture(scope="module")
def pickles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pkl")
    signal, labels = np.zeros((2, 2, 30), np.float32), np.zeros((2, 30), np.int64)
    return folder, {
        "array": pickle.dumps(signal, 4),
        "tensor": pickle.dumps(torch.tensor(signal)),
        "old": pickle.dumps(signal, 2),
        "tensor_label.pkl": pickle.dumps(labels),
    }


@fuzz(300)
@given(st.sampled_from(["array", "tensor", "old"]), edits)
def test_pickles(pickles, kind, changes):
    folder, files = pickles
    (folder / "tensor_label.pkl").write_bytes(files["tensor_label.pkl"])
    (folder / "tensor_data.pkl").write_bytes(mutate(files[kind], changes))
    survives("packed", folder)


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ts")
    header = "@problemName Mine\n@timeStamps false\n@missing false\n@univariate true\n@equalLength true\n"
    header += "@seriesLength 12\n@classLabel true a b\n@data\n"
    text = header + "".join(f"{','.join(map(str, range(k, k + 12)))}:{'ab'[k % 2]}\n" for k in range(6))
    (folder / "Mine").mkdir()
    return folder, {f"Mine/Mine_{split}.ts": text.encode() for split in ("TRAIN", "TEST")}


@fuzz(100)
@given(edits)
def test_ts_files(archived, changes):
    folder, files = archived
    name = "Mine/Mine_TRAIN.ts"
    once(folder, files, name, mutate(files[name], changes), "ucr:Mine")


@fuzz(200)
@given(edits)
def test_tsv_files(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("tsv")
    text = "".join(f"{k % 2 + 1}\t" + "\t".join(map(str, range(k, k + 12))) + "\n" for k in range(6))
    (folder / "Mine").mkdir()
    (folder / "Mine" / "Mine_TEST.tsv").write_text(text)
    (folder / "Mine" / "Mine_TRAIN.tsv").write_bytes(mutate(text.encode(), changes))
    survives("ucr:Mine", folder)


NOTED = (
    '[signal]\nfiles = "{r}.bdf"\nchannels = ["EEG"]\n[labels]\nfrom = "annotations"\n'
    "[frames]\nlength_s = 1\nsequence_length = 3\n"
)


@pytest.fixture(scope="module")
def bdf(tmp_path_factory):
    import edfio

    folder = tmp_path_factory.mktemp("bdf")
    signal = edfio.BdfSignal(np.sin(np.arange(900)) * 50, 30, label="EEG", physical_range=(-90, 90))
    notes = [edfio.EdfAnnotation(3, 4, "W"), edfio.EdfAnnotation(9, 5, "N2")]
    edfio.Bdf([signal], annotations=notes, data_record_duration=1).write(folder / "a.bdf")
    return folder, {"my.toml": NOTED.encode(), "a.bdf": (folder / "a.bdf").read_bytes()}


@fuzz(350)
@given(edits, st.sampled_from([None, 256 * 3]))
def test_bdfs(bdf, changes, head):
    folder, files = bdf
    once(folder, files, "a.bdf", mutate(files["a.bdf"], changes, head=head), str(folder / "my.toml"))


@pytest.fixture(scope="module")
def mats(tmp_path_factory):
    import h5py
    import scipy.io

    folder = tmp_path_factory.mktemp("mat")
    toml = '[signal]\nfiles = "{r}.mat"\nvariable = "val"\nchannels = [1, 2]\nrate_hz = 20\n'
    toml += '[labels]\nfrom = "column"\ncolumn = "stage"\n[frames]\nlength_s = 1\nsequence_length = 3\n'
    val, stage = np.random.default_rng(0).normal(0, 1, (2, 200)), np.arange(200) // 50
    out = {}
    for name, compressed in (("plain", False), ("packed", True)):
        file = io.BytesIO()
        scipy.io.savemat(file, {"val": val, "stage": stage}, do_compression=compressed)
        out[name] = file.getvalue()
    with h5py.File(folder / "h", "w", userblock_size=512) as hdf:
        hdf["val"], hdf["stage"] = val.T, stage[:, None]
    return folder, {"my.toml": toml.encode()}, out | {"hdf": (folder / "h").read_bytes()}


@fuzz(700)
@given(edits, st.sampled_from(["plain", "packed", "hdf"]))
def test_mats(mats, changes, kind):
    folder, files, contents = mats
    (folder / "a.mat").write_bytes(mutate(contents[kind], changes))
    once(folder, files, "", b"", str(folder / "my.toml"))


@fuzz(300)
@given(edits)
def test_shared_label_files(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("shared")
    (folder / "acc_exp01.txt").write_text("0.1 0.2\n" * 90)
    (folder / "labels.txt").write_bytes(mutate(b"1 5 1 20\n1 4 21 40\n1 5 41 70\n2 1 1 5\n", changes))
    (folder / "my.toml").write_text(
        '[signal]\nfiles = "acc_exp{e}.txt"\ndelimiter = "whitespace"\nheader = false\nchannels = [1]\n'
        'rate_hz = 10\n[labels]\nfrom = "intervals"\nfile = "labels.txt"\ndelimiter = "whitespace"\n'
        'header = false\ncolumn = 2\nstart = 3\nend = 4\ntime_unit = "samples"\nwhere = { 1 = "{e}" }\n'
        "ignore_leading_zeros = true\n[frames]\nlength_s = 1\nsequence_length = 3\n"
    )
    survives(str(folder / "my.toml"), folder)


@fuzz(200)
@given(edits)
def test_csvs_in_other_encodings(table, changes):
    folder, files = table
    content = files["s1_1.csv"].decode().encode("utf-16")
    once(folder, files, "s1_1.csv", mutate(content, changes), str(folder / "my.toml"))


@fuzz(150)
@given(edits)
def test_archives(tmp_path_factory, changes):
    """Unpacked whole, or refused with nothing left behind."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("harth/S006.csv", "timestamp,x\n" * 50)
        archive.writestr("harth/S008.csv", "1,2\n" * 50)
    folder = tmp_path_factory.mktemp("zip")
    (folder / "a.zip").write_bytes(mutate(file.getvalue(), changes))
    try:
        unpack(folder / "a.zip", folder / "out", (".csv",))
    except UserError as error:
        assert str(error) and [p.name for p in folder.iterdir()] == ["a.zip"]


@fuzz(100)
@given(
    st.binary(max_size=3000), st.sampled_from(["SC4001E0-PSG.edf", "r1.hea", "train.pt", "tensor_data.pkl"])
)
def test_noise_in_place_of_a_file(tmp_path_factory, content, name):
    folder = tmp_path_factory.mktemp("noise")
    (folder / name).write_bytes(content)
    (folder / "SC4001EC-Hypnogram.edf").write_bytes(content)
    (folder / {"train.pt": "val.pt"}.get(name, "tensor_label.pkl")).write_bytes(content)
    dataset = {"SC4001E0-PSG.edf": "sleepeeg", "r1.hea": "ecg"}.get(name, "packed")
    survives(dataset, folder)


def test_a_deep_and_a_wide_toml(tmp_path):
    """Nesting and lengths that break naive parsers."""
    for text in (
        "x = " + "[" * 5000,
        "a." * 5000 + "b = 1",
        "[frames]\n" + "\n".join(f"k{i} = 1" for i in range(20_000)),
    ):
        (tmp_path / "my.toml").write_text(text)
        survives(str(tmp_path / "my.toml"), tmp_path)


def test_an_edf_that_claims_more_than_it_has_allocates_nothing(tmp_path):
    write_edf(tmp_path / "SC4001E0-PSG.edf", [("EEG Fpz-Cz", np.zeros(3000), 100)], record_s=30)
    content = bytearray((tmp_path / "SC4001E0-PSG.edf").read_bytes())
    content[236:244], content[256 + 216 : 256 + 224] = b"99999999", b"99999999"
    (tmp_path / "SC4001E0-PSG.edf").write_bytes(content)
    (tmp_path / "SC4001EC-Hypnogram.edf").write_bytes(content)
    survives("sleepeeg", tmp_path)
