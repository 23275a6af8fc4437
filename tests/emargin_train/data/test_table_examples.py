"""The descriptions in `examples/` on the recordings at hand, and the one in the documentation."""

import itertools
import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emargin_train.data import catalogue
from emargin_train.data.settings import DataConfig
from emargin_train.data.table_spec import parse_spec
from tests.emargin_train.data.made import command

EXAMPLES = Path(__file__).parents[3] / "examples"
SECONDS = {  # PROVENANCE.md
    "dreams-sleep": {"W": 1260, "N1": 1100, "N2": 6080, "N3": 2360, "REM": 0},
    "vfdb": {"N": 14596, "VT": 3432, "VF": 2265, "AFIB": 2077, "J": 1763},
    "ucddb": {"W": 105600, "N3": 60330, "N2": 14790, "N1": 3780, "REM": 1890},
    "ltafdb-rr": {"N": 1905822, "AFIB": 616391},
    "mitdb": {"N": 27689, "AFIB": 7956, "AFL": 785, "J": 279},
    "geotec": {"WALKING": 28.6, "TURNING": 14.1, "SITTING_DOWN": 9.2, "STANDING_UP": 7.8, "SEATED": 7.7},
    "selfback": {
        "walk_mod": 1067.3,
        "jogging": 1340.4,
        "upstairs": 449.4,
        "downstairs": 386.8,
        "standing": 1072.1,
        "sitting": 1048.0,
        "lying": 1068.6,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SECONDS)
def test_examples_agree_with_what_is_known_of_the_recordings(shared, name):
    toml = EXAMPLES / f"{name}.toml"
    dataset = catalogue.find(str(toml))
    found: dict[str, float] = {}
    for part in dataset.parts(DataConfig(dataset=str(toml), data_dir=str(shared / "data"))):
        for r in part.read():
            for code, cls in enumerate(r.class_names):
                found[cls] = found.get(cls, 0) + float((r.labels == code).sum()) / r.rate_hz
    assert found == pytest.approx(SECONDS[name], rel=1e-9, abs=0.6 if name != "geotec" else 0.15)


@pytest.mark.slow
def test_hapt_in_its_original_layout_is_hapt(shared, tmp_path):
    """Text files of each sensor and one file with the labels of all, as published, from the Parquet files."""
    lines, names = [], tomllib.loads((EXAMPLES / "hapt.toml").read_text())["labels"]["map"]
    number = {name: int(k) for k, name in names.items()}
    chosen = ("exp03_user02", "exp13_user07", "exp21_user10")
    (tmp_path / "RawData").mkdir()
    (tmp_path / "harth" / "hapt-parquet").mkdir(parents=True)
    for name in chosen:
        source = shared / "data" / "harth" / "hapt-parquet" / f"{name}.parquet"
        (tmp_path / "harth" / "hapt-parquet" / source.name).write_bytes(source.read_bytes())
        table = pd.read_parquet(source)
        for sensor in ("acc", "gyro"):
            columns = table[[f"{sensor}_{axis}" for axis in "xyz"]]
            columns.to_csv(tmp_path / f"RawData/{sensor}_{name}.txt", sep=" ", header=False, index=False)
        activity = table["activity"].astype(object).fillna("").to_numpy()
        edges = [0, *(np.flatnonzero(activity[1:] != activity[:-1]) + 1).tolist(), len(activity)]
        experiment, user = int(name[3:5]), int(name[-2:])
        for a, b in itertools.pairwise(edges):
            if activity[a]:
                lines.append(f"{experiment} {user} {number[activity[a]]} {a + 1} {b}")
    (tmp_path / "RawData" / "labels.txt").write_text("\n".join(lines) + "\n")
    found = []
    for example in ("hapt", "hapt-parquet"):
        toml = str(EXAMPLES / f"{example}.toml")
        parts = catalogue.find(toml).parts(DataConfig(dataset=toml, data_dir=str(tmp_path)))
        found.append([r for part in parts for r in part.read()])
    for text, parquet in zip(*found, strict=True):
        assert text.subject == parquet.subject and text.channels == parquet.channels
        assert (text.signal == parquet.signal).all() and text.units == parquet.units
        assert [text.class_names[c] for c in text.labels] == [parquet.class_names[c] for c in parquet.labels]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SECONDS if name != "ltafdb-rr"])
def test_examples_are_described_by_the_command(shared, tmp_path, capsys, name):
    toml = EXAMPLES / f"{name}.toml"
    split = "time" if name == "geotec" else "subject"  # one subject
    picture = tmp_path / "a.png"
    code, out, err = command(
        capsys, "describe", toml, "--data-dir", shared / "data", "--split", split, "--plot", picture,
        "--subjects", 16,
    )  # fmt: skip
    assert code == 0, err
    assert all(cls in out for cls in SECONDS[name]) and "means something" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_description_in_the_documentation_is_one():
    text = (Path(__file__).parents[3] / "docs" / "own_data.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, flags=re.S)
    spec = parse_spec(tomllib.loads(block), Path("docs.toml"))
    assert len(spec.signals) == 2 and spec.labels.map == {"1": "sit", "2": "walk", "3": "run"}
