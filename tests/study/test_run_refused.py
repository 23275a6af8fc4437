"""`python -m study.run` and `emargin_train.pretrain` refuse bad input with one line and exit code 2.

They run in this process, since each start of a program takes seconds; only one test starts a new program.
"""

import http.server
import socket
import threading
from pathlib import Path

import pytest

from tests.study.conftest import assert_one_line, command, here, small
from tests.tiny import write

pytestmark = pytest.mark.slow


BAD_FLAGS = {
    "unknown dataset": (("--dataset", "sleepeg-sim"), ("'sleepeg-sim'", "did you mean 'sleepeeg-sim'")),
    "unknown method": (("--method", "emargni"), ("'emargni'", "did you mean 'emargin'")),
    "unknown method by its former flag": (
        ("--objective", "emargni"),
        ("'emargni'", "did you mean 'emargin'"),
    ),
    "unknown baseline": (("--baseline", "infonc"), ("'infonc'", "did you mean 'infonce'")),
    "unknown encoder": (("--encoder", "dilatd"), ("'dilatd'", "did you mean 'dilated'")),
    "unknown split": (("--split", "subjct"), ("'subjct'", "did you mean 'subject'")),
    "a reference as method": (("--method", "raw"), ("'raw'", "known: ")),
    "hyper-parameter of another method": (
        ("--method", "infonce", "--margin", "5"),
        ("--margin", "leave it out"),
    ),
    "hyper-parameter of another encoder": (("--dilated.depth", "4"), ("--dilated.depth", "leave it out")),
    "reversed seeds": (("--split-seeds", "3:1"), ("3:1", "give 1:3")),
    "seeds twice": (("--seeds", "1,1"), ("1,1", "distinct")),
    "no number of trials": (("--trials", "many"), ("'many'", "give a whole number")),
    "range in a grid": (("--design", "grid", "--threshold", "0:1"), ("0:1", "give a list a,b,c")),
    "noise outside its domain": (("--snr-db=-200:20",), ("-200", "from -100 to 100")),
    "nothing to resume": (("--extend", "0"), ("--extend is 0", "give a whole number of 1 or more")),
    "unknown sampler": (("--sampler", "tpo"), ("'tpo'", "did you mean 'tpe'")),
    "unknown preset": (("--preset", "smok"), ("'smok'", "did you mean 'smoke'")),
    "unknown goal": (("--goals", "silhouett"), ("'silhouett'", "did you mean 'silhouette'")),
    "reversed range": (("--threshold", "0.9:0.2"), ("0.9:0.2", "give 0.2:0.9")),
    "range outside its domain": (("--temperature", "0:1"), ("0", "above 0")),
    "share outside its domain": (("--dissimilar-share", "0.5:1.5"), ("1.5", "from 0 to 1")),
    "threshold and share": (("--threshold", "0.4", "--dissimilar-share", "0.1"), ("give one",)),
    "missing data folder": (("--dataset", "ecg", "--data-dir", "/no/such/folder"), ("/no/such/folder",)),
    "no cluster": (("--address", "127.0.0.1:9"), ("127.0.0.1:9", "no Ray cluster answers")),
    "no address": (("--address", "nonsense"), ("nonsense", "no Ray cluster answers")),
    "no tracking server": (
        ("--tracking-uri", "http://127.0.0.1:9"),
        ("http://127.0.0.1:9", "no MLflow server"),
    ),
    "no study": (("--resume", "/no/such/study"), ("/no/such/study", "no study")),
    "too many CPUs": (("--cpus-per-trial", "4096"), ("4096", "give less")),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags(case, tmp_path):
    flags, told = BAD_FLAGS[case]
    ran = here(*small(), "--out", str(tmp_path / "runs"), *flags)
    assert_one_line(ran, *told)
    assert not (tmp_path / "runs").exists()


def test_the_program_itself_ends_with_one_line(tmp_path):
    ran = command(*small(), "--out", str(tmp_path / "runs"), "--threshold", "0.9:0.2")
    assert_one_line(ran, "0.9:0.2", "give 0.2:0.9")
    assert ran.stdout == "" and len(ran.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


VERSION_1 = (
    'dataset = "sleepeeg-sim"\nname = "old"\nobjectives = ["emargin"]\n[dimensions]\nthreshold = "0.4"\n'
)


@pytest.mark.parametrize("how", ["--resume", "--name"])
def test_a_study_of_version_1_is_not_resumed(tmp_path, how):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "study.toml").write_text(VERSION_1)
    words = ("--resume", str(tmp_path / "old"))
    if how == "--name":
        words = (*small(), "--out", str(tmp_path), "--name", "old")
    assert_one_line(here(*words), "version 1", "analysis.report", "--config")
    assert {path.name for path in (tmp_path / "old").iterdir()} - {".lock"} == {"study.toml"}


def test_a_server_that_is_no_ray_head_is_told(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        ran = here(*small(), "--out", str(tmp_path / "runs"), "--address", f"127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
    assert_one_line(ran, "no Ray cluster answers")


def test_a_tracking_server_that_accepts_and_says_nothing_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ran = here(*small(), "--out", str(tmp_path / "runs"), "--tracking-uri", uri)
    assert_one_line(ran, uri, "no MLflow server answers")


def test_an_out_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "runs").write_text("a file")
    assert_one_line(here(*small(), "--out", str(tmp_path / "runs")), "cannot be written")


@pytest.fixture
def own(tmp_path) -> Path:
    """A copy of the tiny dataset, to be spoilt."""
    folder = tmp_path / "data"
    folder.mkdir()
    return write(folder)


def spoilt(own: Path, tmp_path: Path, *told: str) -> None:
    ran = here("--dataset", str(own), "--iterations", "4", "--out", str(tmp_path / "runs"))
    assert_one_line(ran, *told)
    assert not (tmp_path / "runs").exists()


def test_an_empty_data_folder_is_told(own, tmp_path):
    for path in own.parent.glob("*.csv"):
        path.unlink()
    spoilt(own, tmp_path, "{subject}.csv")


def test_no_labelled_frames_is_told(own, tmp_path):
    for path in own.parent.glob("*.csv"):
        path.write_text(
            "x,label\n" + "\n".join(line.split(",")[0] + "," for line in path.read_text().split()[1:]) + "\n"
        )
    spoilt(own, tmp_path, "label")


def test_one_class_is_told(own, tmp_path):
    for path in own.parent.glob("*.csv"):
        path.write_text(path.read_text().replace("middle", "low").replace("high", "low"))
    spoilt(own, tmp_path, "class")


def test_one_subject_is_told(own, tmp_path):
    for path in sorted(own.parent.glob("*.csv"))[1:]:
        path.unlink()
    spoilt(own, tmp_path, "subject")


def wfdb_folder(folder: Path) -> Path:
    """Four WFDB records of two minutes with rhythm annotations."""
    import numpy as np
    import wfdb

    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a1", "a2", "a3", "a4"):
        signal = rng.normal(size=(250 * 120, 2)).cumsum(0) % 3
        wfdb.wrsamp(
            name,
            fs=250,
            units=["mV"] * 2,
            sig_name=["I", "II"],
            p_signal=signal,
            fmt=["16"] * 2,
            adc_gain=[200.0] * 2,
            baseline=[0] * 2,
            write_dir=str(folder),
        )
        wfdb.wrann(
            name,
            "atr",
            np.array([0, 250 * 60]),
            symbol=["+", "+"],
            aux_note=["(N", "(AFIB"],
            write_dir=str(folder),
        )
    return folder


@pytest.mark.parametrize(
    "fault", ["truncated .dat", "missing .dat", "garbled .hea", "empty .hea", "missing .atr"]
)
def test_corrupt_wfdb_is_told(tmp_path, fault):
    folder = wfdb_folder(tmp_path / "ecg")
    name, kind = fault.split()
    path = folder / f"a2{kind}"
    match name:
        case "truncated":
            path.write_bytes(path.read_bytes()[:1001])
        case "missing":
            path.unlink()
        case "garbled":
            path.write_bytes(b"\xff\x00 not a header \x80")
        case "empty":
            path.write_bytes(b"")
    ran = here(
        "--dataset", "ecg", "--data-dir", str(folder), "--iterations", "2", "--out", str(tmp_path / "runs")
    )
    assert_one_line(ran, "a2")
    assert not (tmp_path / "runs").exists()


def test_pretrain_tells_bad_input_in_one_line(tmp_path):
    for flags, told in (
        (("--temperature", "0"), "above 0"),
        (("--threshold=2",), "from -1 to 1"),
        (("--method", "emargni"), "did you mean 'emargin'"),
        (("--objective", "emargni"), "did you mean 'emargin'"),
        (("--device", "gpu"), "no such device"),
        (("--dataset", "nothing"), "known:"),
    ):
        assert_one_line(here(*small(), *flags, module="emargin_train.pretrain"), told)
