"""The descriptions in `examples/` on the recordings at hand, and the one in the documentation."""

import re
import tomllib
from pathlib import Path

import pytest

from emargin_train.data import catalogue
from emargin_train.data.settings import DataConfig
from emargin_train.data.table_spec import parse_spec
from tests.emargin_train.data.made import command

SECONDS = {  # PROVENANCE.md
    "dreams-sleep": {"W": 1260, "N1": 1100, "N2": 6080, "N3": 2360, "REM": 0},
    "vfdb": {"N": 14596, "VT": 3432, "VF": 2265, "AFIB": 2077, "J": 1763},
    "ucddb": {"W": 105600, "N3": 60330, "N2": 14790, "N1": 3780, "REM": 1890},
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
    toml = Path(__file__).parents[3] / "examples" / f"{name}.toml"
    dataset = catalogue.find(str(toml))
    found: dict[str, float] = {}
    for part in dataset.parts(DataConfig(dataset=str(toml), data_dir=str(shared / "data"))):
        for r in part.read():
            for code, cls in enumerate(r.class_names):
                found[cls] = found.get(cls, 0) + float((r.labels == code).sum()) / r.rate_hz
    assert found == pytest.approx(SECONDS[name], abs=0.6 if name != "geotec" else 0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", SECONDS)
def test_examples_are_described_by_the_command(shared, tmp_path, capsys, name):
    toml = Path(__file__).parents[3] / "examples" / f"{name}.toml"
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
    text = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, flags=re.S)
    spec = parse_spec(tomllib.loads(block), Path("docs.toml"))
    assert len(spec.signals) == 2 and spec.labels.map == {"1": "sit", "2": "walk", "3": "run"}
