"""WFDB records that a header misdescribes: refused by the command, nothing read from elsewhere."""

import re

import numpy as np
import pytest

from emargin_train.data import wfdb_files
from emargin_train.errors import UserError
from tests.emargin_train.data.made import refused, write_wfdb

TOML = (
    '[signal]\nfiles = "{r}.hea"\nchannels = ["ECG1"]\n[labels]\nfrom = "annotations"\nprefix = "("\n'
    "[frames]\nlength_s = 1\nsequence_length = 3\n"
)


@pytest.fixture
def record(tmp_path):
    signal = np.random.default_rng(0).normal(0, 0.3, (2000, 2))
    write_wfdb(tmp_path, "r1", signal, [(0, "(N"), (1000, "(AFIB")])
    (tmp_path / "my.toml").write_text(TOML)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            r"^r1 2 250 2000",
            "r1 2 250 9000",
            "has 6,000 bytes, but its header states 27,000: it was cut short",
        ),
        (r"^r1 2 250 2000", "r1 2 250 9999999999", "claims 19,999,999,998 values"),
        (r"^r1 2 250 2000", "r1 2 0 2000", "a rate of '0', which is no positive number"),
        (r"^r1 2 250 2000", "r1 2 -250 2000", "a rate of '-250', which is no positive number"),
        (r"^r1 2 250 2000", "r1 2 fast 2000", "a rate of 'fast'|cannot be read"),
        (r"^r1 2 250", "r1/3 2 250", "several segments|cannot be read"),
        (r"^r1 2", "r1 300", "cannot be read|missing|states"),
        (r"r1\.dat", "../r1.dat", "cannot be read as WFDB header"),
        (r"r1\.dat", "/etc/passwd", "cannot be read as WFDB header"),
        (r"r1\.dat", "r2.dat", "named by r1.hea, is missing"),
        (r"dat 212", "dat 508", "convert them to one of|not a FLAC file"),
        (r"dat 212", "dat 213", "convert them to one of|cannot be read"),
        (r"dat 212", "dat 212x4", "its header states 24,000"),
        (r"ECG1", "ECG2", "has no signal 'ECG1': did you mean 'ECG2'"),
        (r"ECG2", "ECG1", "has more than one signal 'ECG1'"),
        (r"(?s).*", "", "cannot be read as WFDB header"),
        (r"(?s).*", "\x00" * 40, "cannot be read as WFDB header"),
        (r"(?s).*", "#" * 1_000_001, "over 1,000,000 bytes"),
    ],
    ids=range(18),
)
def test_headers_refused_by_the_command(record, capsys, old, new, said):
    header = record / "r1.hea"
    text = re.sub(
        old, lambda _: new, header.read_text(), count=0 if "ECG" in old or "dat" in old else 1, flags=re.M
    )
    header.write_text(text)
    message = refused(capsys, "describe", record / "my.toml")
    assert re.search(said, message), message


def test_signals_and_annotations_refused_by_the_command(record, capsys):
    toml = record / "my.toml"
    signal = (record / "r1.dat").read_bytes()
    (record / "r1.dat").write_bytes(bytes([signal[0] ^ 1]) + signal[1:])
    assert "signal ECG1 of" in (said := refused(capsys, "describe", toml)) and "fails its checksum" in said
    (record / "r1.dat").write_bytes(signal)
    toml.write_text(TOML.replace("prefix", 'annotator = "qrs"\nprefix'))
    assert "r1.qrs" in refused(capsys, "describe", toml)
    toml.write_text(TOML.replace('["ECG1"]', "[3]"))
    assert "has 2 signals, but signal 3" in refused(capsys, "describe", toml)
    toml.write_text(TOML.replace('prefix = "("', 'prefix = "["'))
    assert "no recording has a label" in refused(capsys, "describe", toml)


def test_invalid_samples_are_nan_and_the_rest_is_exact(tmp_path):
    signal = np.round(np.random.default_rng(0).normal(0, 0.3, (500, 2)), 3)
    signal[100:120, 0] = np.nan
    write_wfdb(tmp_path, "r1", signal, [(0, "(N")])
    values, rate_hz, names, units, _ = wfdb_files.channels(tmp_path / "r1.hea", ["ECG2", 1])
    assert (rate_hz, names, units) == (250, ["ECG2", "ECG1"], ["mV", "mV"])
    assert np.isnan(values[1, 100:120]).all() and np.isnan(values).sum() == 20
    assert np.nanmax(np.abs(values - signal.T[::-1])) < 1e-3


def test_notes_come_in_order_with_their_texts(record):
    notes = wfdb_files.notes(record / "r1.hea", "atr")
    assert [(n.start_s, n.symbol, n.text) for n in notes] == [(0, "+", "(N"), (4, "+", "(AFIB")]
    with pytest.raises(UserError, match="r1.xyz does not exist"):
        wfdb_files.notes(record / "r1.hea", "xyz")
