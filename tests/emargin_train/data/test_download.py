"""Downloads from a local server with the homes' layout: whole, resumed, checked; what is said of faults."""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest

from emargin_train.data import cache, download, fetch, load
from emargin_train.data.settings import DataConfig
from tests.emargin_train.data.made import command, left, refused, write_harth, write_night, write_wfdb, zipped
from tests.emargin_train.data.server import HARTH

SLEEP = "/files/sleep-edfx/1.0.0"
AFDB = "/files/afdb/1.0.0"
NIGHT = [(70, "W"), (3, "1"), (6, "2"), (6, "3"), (5, "R"), (70, "W")]


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Files of three sleepers, five nights in all, as sleep-edfx names them."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    for name in ("SC4001", "SC4002", "SC4011", "SC4021", "SC4022"):
        write_night(folder / "sleep-cassette", name, NIGHT, rng)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.edf"))}


@pytest.fixture(scope="module")
def activities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    for subject in ("S006", "S008", "S009"):
        labels = np.repeat([1, 6, 7], 500)
        write_harth(folder / f"{subject}.csv", np.arange(1500) / 50, labels, rng)
    return {f"harth/{p.name}": p.read_text() for p in folder.glob("*.csv")} | {"harth/README.md": "read me"}


def test_the_first_subjects_of_sleep_edf(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights | {"RECORDS": b"", "sleep-telemetry/ST7011J0-PSG.edf": b"x"})
    code, out, err = command(capsys, "download", "sleepeeg", "--subjects", 2, "--to", tmp_path / "here")
    assert code == 0, err
    wanted = [name for name in nights if not name.startswith("sleep-cassette/SC402")]
    megabytes = sum(len(nights[name]) for name in wanted) / 1e6
    assert f"fetching 6 files, {megabytes:,.1f} MB, of Sleep-EDF Expanded" in err
    assert left(tmp_path / "here") == sorted(["SHA256SUMS.txt", *wanted])
    assert all((tmp_path / "here" / name).read_bytes() == nights[name] for name in wanted)
    assert f"--data-dir {tmp_path / 'here'}" in out


def test_a_few_files_at_once_and_no_more(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights)
    home.faults |= {f"{SLEEP}/{name}": ["meet"] for name in nights}
    assert command(capsys, "download", "sleepeeg", "--to", tmp_path / "d")[0] == 0
    assert 1 < home.most_at_once <= fetch.CONNECTIONS


def test_what_is_there_is_not_fetched_again(home, nights, capsys):
    home.publish(SLEEP, nights)
    assert command(capsys, "download", "sleepeeg", "--subjects", 1)[0] == 0
    home.asked.clear()
    assert command(capsys, "download", "sleepeeg", "--subjects", 1)[0] == 0
    assert home.asked == []
    assert command(capsys, "download", "sleepeeg", "--subjects", 2)[0] == 0
    assert len(home.gets()) == 2, "one more sleeper, one night of two files"


def test_first_use_downloads_by_itself_after_saying_how_much(home, nights, capsys):
    home.publish(SLEEP, nights)
    splits = load(DataConfig(dataset="sleepeeg", subjects=3, sequence_length=20))
    err = capsys.readouterr().err
    assert "sleepeeg: fetching 10 files" in err and "MB, of Sleep-EDF" in err
    assert len({*splits.train.subject, *splits.validation.subject}) == 3


def test_afdb_without_the_records_that_have_no_signal(home, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("04015", "04043", "04048"):
        write_wfdb(
            tmp_path / "w", name, rng.normal(0, 1, (9000, 2)), [(0, "(N"), (3000, "(AFIB"), (6000, "(N")]
        )
    files = {p.name: p.read_bytes() for p in (tmp_path / "w").iterdir()}
    bare = {"00735.hea": b"00735 0 250 9205760\n", "00735.atr": b"", "04015.qrs": b"q", "index.html": b""}
    home.publish(AFDB, files | bare)
    code, out, err = command(
        capsys, "describe", "ecg", "--subjects", 3, "--sequence-length", 4, "--plot", tmp_path / "a.svg"
    )
    assert code == 0, err
    assert "fetching 9 files" in err and "3 of 3 subjects" in out


def test_harth_is_unpacked_and_its_sum_trusted_from_then_on(home, activities, tmp_path, capsys):
    home.files[HARTH] = zipped(activities)
    code, _, err = command(capsys, "download", "harth")
    found = hashlib.sha256(home.files[HARTH]).hexdigest()
    assert code == 0 and f"trusting sha256 {found} from now on" in err
    folder = tmp_path / "cache" / "raw" / "harth"
    assert left(folder) == ["S006.csv", "S008.csv", "S009.csv"]
    assert json.loads((tmp_path / "cache" / "trusted.json").read_text()) == {
        download.HOMES["harth"].url: found
    }
    splits = load(DataConfig(dataset="harth", sequence_length=10))
    assert splits.train.shape[1:] == (10, 156)
    for path in folder.iterdir():
        path.unlink()
    home.files[HARTH] = zipped(activities | {"harth/S010.csv": "other"})
    assert "not " + found[:16] in refused(capsys, "download", "harth")
    assert left(folder) == []


def test_a_ucr_set_that_aeon_does_not_bring_along(home, capsys, monkeypatch):
    from emargin_train.data import ucr

    home.files["/aeon-toolkit/Other.zip"] = zipped(
        {
            f"Other_{split}.ts": (ucr.bundled() / "GunPoint" / f"GunPoint_{split}.ts").read_text()
            for split in ("TRAIN", "TEST")
        }
    )
    assert load(DataConfig(dataset="ucr:Other")).test.shape == (150, 15, 10)
    assert "ucr:Other: fetching 1 files" in capsys.readouterr().err
    home.files["/aeon-toolkit/Absent.zip"] = b"<html>no such set</html>"
    assert "cannot be read as a zip archive" in refused(capsys, "describe", "ucr:Absent")


def test_a_cut_connection_is_resumed_where_it_broke(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights)
    name = "sleep-cassette/SC4001E0-PSG.edf"
    home.faults[f"{SLEEP}/{name}"] = ["cut", "cut"]
    assert command(capsys, "download", "sleepeeg", "--subjects", 1, "--to", tmp_path / "d")[0] == 0
    assert (tmp_path / "d" / name).read_bytes() == nights[name]
    spans = [span for _, span in home.gets(name)]
    assert len(spans) == 3 and spans[0] == "" and all(s.startswith("bytes=") for s in spans[1:])
    assert int(spans[1][6:-1]) < int(spans[2][6:-1]) < len(nights[name])


def test_a_download_that_was_given_up_goes_on_at_the_next_attempt(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights)
    name = "sleep-cassette/SC4001E0-PSG.edf"
    home.faults[f"{SLEEP}/{name}"] = ["cut"] * fetch.ATTEMPTS
    said = refused(capsys, "download", "sleepeeg", "--subjects", 1, "--to", tmp_path / "d")
    assert "was cut off" in said and "--data-dir" in said and "sleepeeg-sim" in said
    assert not (tmp_path / "d" / name).exists(), "nothing that could be taken for the file"
    home.asked.clear()
    assert command(capsys, "download", "sleepeeg", "--subjects", 1, "--to", tmp_path / "d")[0] == 0
    assert home.gets(name)[0][1].startswith("bytes="), "only the rest was fetched"
    assert (tmp_path / "d" / name).read_bytes() == nights[name]
    assert not list((tmp_path / "d").rglob("*.part"))


def test_a_server_that_falls_silent_leaves_nothing(home, activities, tmp_path, capsys):
    home.files[HARTH] = zipped(activities)
    home.faults[HARTH] = ["silent"] * fetch.ATTEMPTS
    assert "was cut off" in refused(capsys, "download", "harth", "--to", tmp_path / "d")
    assert left(tmp_path / "d") == [] and not list(tmp_path.rglob("*.part"))
    assert home.waited == [1, 2, 4], "longer each time"


def test_a_server_without_ranges_starts_again(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights)
    name = "sleep-cassette/SC4001E0-PSG.edf"
    home.faults[f"{SLEEP}/{name}"] = ["cut", "no range"]
    assert command(capsys, "download", "sleepeeg", "--subjects", 1, "--to", tmp_path / "d")[0] == 0
    assert (tmp_path / "d" / name).read_bytes() == nights[name]


def test_a_part_of_an_older_version_is_thrown_away(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights)
    name = "sleep-cassette/SC4001E0-PSG.edf"
    for size in (1000, len(nights[name]), len(nights[name]) + 5):
        part = tmp_path / "d" / "sleep-cassette" / ".SC4001E0-PSG.edf.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"\x55" * size)
        assert command(capsys, "download", "sleepeeg", "--subjects", 1, "--to", tmp_path / "d")[0] == 0
        assert (tmp_path / "d" / name).read_bytes() == nights[name]
        (tmp_path / "d" / name).unlink()


def test_a_wrong_checksum_is_refused_and_leaves_nothing(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights)
    for name in nights:
        home.faults[f"{SLEEP}/{name}"] = ["corrupt"]
    said = refused(capsys, "download", "sleepeeg", "--subjects", 3, "--to", tmp_path / "d")
    assert "as published" in said and "refused" in said
    assert left(tmp_path / "d") == ["SHA256SUMS.txt"]


def test_a_busy_server_is_left_alone_as_long_as_it_asks(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights)
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    home.faults[f"{SLEEP}/SHA256SUMS.txt"] = ["503 7", f"503 {later}", "503 soon"]
    assert command(capsys, "download", "sleepeeg", "--subjects", 1, "--to", tmp_path / "d")[0] == 0
    assert home.waited[0] == 7 and 20 < home.waited[1] <= 30 and home.waited[2] == 4


def test_a_server_that_asks_for_hours_is_not_waited_for(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights)
    home.faults[f"{SLEEP}/SHA256SUMS.txt"] = ["503 7200"]
    said = refused(capsys, "download", "sleepeeg", "--to", tmp_path / "d")
    assert "asks to come back in 7200 s" in said and home.waited == [] and left(tmp_path / "d") == []


def test_files_that_are_not_there_are_named(home, nights, tmp_path, capsys):
    said = refused(capsys, "download", "sleepeeg", "--to", tmp_path / "d")
    assert f"{SLEEP}/SHA256SUMS.txt answers 404" in said and left(tmp_path / "d") == []
    home.publish(SLEEP, nights)
    del home.files[f"{SLEEP}/sleep-cassette/SC4001E0-PSG.edf"]
    said = refused(capsys, "download", "sleepeeg", "--subjects", 1, "--to", tmp_path / "d")
    assert "SC4001E0-PSG.edf answers 404" in said
    assert left(tmp_path / "d") == ["SHA256SUMS.txt"]
    home.publish(SLEEP, nights)
    home.faults[f"{SLEEP}/sleep-cassette/SC4001E0-PSG.edf"] = ["404"]  # between being asked for and fetched
    assert "answers 404" in refused(capsys, "download", "sleepeeg", "--subjects", 1, "--to", tmp_path / "d")
    assert not list((tmp_path / "d").rglob("*SC4001E0-PSG*"))


def test_endless_redirects_end(home, nights, tmp_path, capsys):
    home.publish(SLEEP, nights)
    home.faults[f"{SLEEP}/SHA256SUMS.txt"] = ["redirect"] * 100
    assert "cannot be reached" in refused(capsys, "download", "sleepeeg", "--to", tmp_path / "d")


@pytest.mark.parametrize("name", ["sleepeeg", "harth", "ecg"])
def test_offline_names_data_dir_and_the_twin(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setenv("EMARGIN_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "sleep", lambda s: None)
    start = time.monotonic()
    said = refused(capsys, "describe", name)
    assert time.monotonic() - start < 15
    assert "cannot be reached" in said and "--data-dir" in said and f"{name}-sim" in said
    assert left(tmp_path / "cache" / "raw") == []


def test_lists_that_are_none_or_lead_elsewhere(home, tmp_path, capsys):
    home.files[f"{SLEEP}/SHA256SUMS.txt"] = b"<html>busy</html>"
    assert "lists no checksums" in refused(capsys, "download", "sleepeeg", "--to", tmp_path / "d")
    line = f"{'0' * 64} ../../sleep-cassette/SC4001E0-PSG.edf\n"
    home.files[f"{SLEEP}/SHA256SUMS.txt"] = line.encode()
    assert "outside its folder" in refused(capsys, "download", "sleepeeg", "--to", tmp_path / "d")
    home.files[f"{SLEEP}/SHA256SUMS.txt"] = f"{'0' * 64} other.edf\n".encode()
    assert "lists no file of Sleep-EDF" in refused(capsys, "download", "sleepeeg", "--to", tmp_path / "d")
    home.files[f"{SLEEP}/SHA256SUMS.txt"] = b"x" * 11_000_000
    assert "larger than" in refused(capsys, "download", "sleepeeg", "--to", tmp_path / "e")


def test_unknown_names_and_counts(capsys, tmp_path):
    assert "did you mean 'sleepeeg'?" in refused(capsys, "download", "sleepeg")
    assert "cannot be downloaded" in refused(capsys, "download", "sleepeeg-sim")
    assert "--subjects is 0" in refused(capsys, "download", "sleepeeg", "--subjects", 0)
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(capsys, "download", "harth", "--to", tmp_path / "file" / "x")


def test_too_full_a_disk_is_told_before_anything_is_fetched(home, activities, tmp_path, capsys, monkeypatch):
    home.files[HARTH] = zipped(activities)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda p: type("Usage", (), {"free": 1000}))
    assert "too little" in refused(capsys, "download", "harth", "--to", tmp_path / "d")
    assert home.gets() == [] and left(tmp_path / "d") == []


def test_the_cache_is_where_it_says(monkeypatch, tmp_path):
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path))
    assert cache.folder() == tmp_path
