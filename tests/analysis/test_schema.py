"""`analysis` knows only what results.parquet says about itself: version 2 as written, version 1 converted."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w

import analysis
from analysis import grids, schema, version1
from analysis.tables import as_given, per_trial, settings_text, varying
from tests.analysis import synthetic

COMMITTED = sorted(
    path.parent for path in (Path(__file__).parents[1] / "version_1").glob("*/results.parquet")
)


def write_version_1(folder: Path, rows: pd.DataFrame, dimensions: dict[str, str] | None) -> Path:
    """The rows as version 1 wrote them; no study.toml where `dimensions` is None."""
    back = {new: old for old, new in version1.RENAMED.items()}
    absent = ["encoder", "encoder_variant", "gate_given_as", "learning_rate", "weight_decay"]
    made = pa.Table.from_pandas(rows.drop(columns=absent).rename(columns=back), preserve_index=False)
    fields = []
    for column in made.schema:
        if column.name in synthetic.METRICS:
            low, high, best, title = synthetic.METRICS[column.name]
            about = {"low": str(low), "high": str(high), "best": best, "title": title, "source": "made up"}
            column = pa.field(column.name, pa.float64(), metadata=about)
        fields.append(column)
    folder.mkdir(parents=True)
    described = made.cast(pa.schema(fields, metadata={"schema_version": "1"}))
    pq.write_table(described, folder / "results.parquet")
    if dimensions is not None:
        (folder / "study.toml").write_text(tomli_w.dumps({"dimensions": dimensions}))
    return folder


def test_version_2_is_read_as_written(tmp_path: Path) -> None:
    study = analysis.load(synthetic.write(tmp_path / "a", synthetic.rows(), goals=("nmi", "silhouette")))
    assert list(study.methods) == list(synthetic.METHODS)
    assert study.methods["supervised"].role == "upper bound"
    assert "margin" in study.methods["emargin"].hyperparameters
    assert "margin" not in study.methods["infonce"].hyperparameters
    gamma = study.hyperparameters["gamma"]
    assert (gamma.title, gamma.scale, gamma.low, gamma.high, gamma.default) == (
        "Gamma",
        "log",
        0,
        np.inf,
        0.05,
    )
    assert study.hyperparameters["gate"].scale == "category"
    assert study.schema.goals == ("nmi", "silhouette") and study.schema.unknown == ()
    assert {"trial", "seed"} & set(study.setting_columns) == set()


def test_a_column_that_says_nothing_is_kept_and_named(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=2, baseline_trials=1).assign(room_temperature=21.5)
    study = analysis.load(synthetic.write(tmp_path / "a", rows))
    assert study.schema.unknown == ("room_temperature",)
    assert (study.rows["room_temperature"] == 21.5).all()
    from analysis.health import cautions

    assert any("room_temperature" in text for text in cautions(study))


def test_a_method_that_the_file_does_not_describe_is_known_by_its_name(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=2, baseline_trials=1, diverged=0, failed=0)
    rows.loc[rows["method"] == "infonce", "method"] = "mystery"
    study = analysis.load(synthetic.write(tmp_path / "a", rows))
    assert study.method_title("mystery") == "mystery" and study.methods["mystery"].role == "method"


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_committed_studies_of_version_1_are_read(folder: Path) -> None:
    """Every column of the file has a kind, every value is where it was, and the study's own file decides."""
    raw = pq.read_table(folder / "results.parquet")
    study = analysis.load(folder)
    assert study.schema.unknown == () and len(study.rows) == raw.num_rows
    for name in raw.column_names:
        new = version1.RENAMED.get(name, name)
        pd.testing.assert_series_equal(raw[name].to_pandas(), study.rows[new], check_names=False)
    assert set(study.rows["method"]) <= set(study.methods)
    gated = study.rows["threshold"].notna()
    assert study.rows["gate_given_as"].notna().equals(gated)
    given = set(study.rows.loc[gated, "gate_given_as"])
    searched = study.settings["dimensions"]
    assert given <= {"dissimilar_share" if "dissimilar_share" in searched else "threshold"}


@pytest.mark.parametrize(
    "dimensions, given",
    [
        ({"threshold": "0.2:0.99"}, "threshold"),
        ({}, "threshold"),  # the range of every search that named neither
        ({"dissimilar_share": "0.1,0.5"}, "dissimilar_share"),
        (None, None),
    ],
)
def test_version_1_takes_what_was_given_from_the_study(
    tmp_path: Path, dimensions: dict[str, str] | None, given: str | None
) -> None:
    """Thresholds searched in a range have as many digits as those that follow from a share."""
    fixed: dict[str, object] = {"margin": 5.0, "temperature": 0.1}
    rows = synthetic.rows(trials=4, baseline_trials=1, diverged=0, failed=0, fixed=fixed)
    study = analysis.load(write_version_1(tmp_path / "a", rows, dimensions))
    own = study.rows[study.rows["method"] == "emargin"]
    assert set(own["gate_given_as"]) == {given}
    assert study.rows.loc[study.rows["method"] != "emargin", "gate_given_as"].isna().all()
    assert set(own["encoder_variant"]) == {"shared"} and set(own["encoder"]) == {"projector"}
    table = per_trial(study, ["silhouette"])
    assert ("threshold" in varying(study, table)) == (given != "dissimilar_share")
    text = settings_text(study, table)[table["trial"] == "emargin-0000"].iloc[0]
    assert ("dissimilar share" in text) == (given != "threshold")
    assert [grid.given for grid in grids.grids(study)] == ([given] if given else [])


def test_versions_say_the_same_of_the_same_rows(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=4, baseline_trials=2, diverged=0, failed=0)
    old = analysis.load(write_version_1(tmp_path / "old", rows, {"threshold": "0.2:0.99"}))
    new = analysis.load(synthetic.write(tmp_path / "new", rows))
    tables = [per_trial(study, ["silhouette"])[["trial", "silhouette", "threshold"]] for study in (old, new)]
    pd.testing.assert_frame_equal(*tables)
    both = analysis.join([old, new])
    assert set(both.hyperparameters) == set(old.hyperparameters) | set(new.hyperparameters)


def test_what_follows_from_the_other_is_left_out() -> None:
    table = pd.DataFrame({"threshold": [0.4, 0.8], "dissimilar_share": [0.1, 0.5]})
    table["gate_given_as"] = ["threshold", "dissimilar_share"]
    given = as_given(table)
    assert given["threshold"].tolist()[0] == 0.4 and np.isnan(given["threshold"][1])
    assert given["dissimilar_share"].tolist()[1] == 0.5 and np.isnan(given["dissimilar_share"][0])


def test_metadata_that_is_not_json_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path / "a", synthetic.rows(trials=2, baseline_trials=1))
    table = pq.read_table(folder / "results.parquet")
    broken = table.replace_schema_metadata({"schema_version": "2", "methods": "{"})
    pq.write_table(broken, folder / "results.parquet")
    with pytest.raises(analysis.UserError, match="metadata that cannot be read"):
        analysis.load(folder)


def test_merged_schemas_keep_the_first_description() -> None:
    one = schema.Schema(titles={"a": "first"}, goals=("x",))
    two = schema.Schema(titles={"a": "second", "b": "only"}, goals=("x", "y"))
    both = schema.merged([one, two])
    assert both.titles == {"a": "first", "b": "only"} and both.goals == ()
    assert json.loads(synthetic.methods_json()).keys() == synthetic.METHODS.keys()
