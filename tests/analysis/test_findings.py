"""docs/findings.md agrees with the studies in docs/findings/."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis import findings, geometry, robustness
from analysis.errors import UserError
from analysis.grids import grids
from analysis.markdown import markdown
from analysis.selection import selected

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def study():
    return findings.studies(DOCS / "findings")


def test_every_block_of_the_document_is_what_the_studies_give(study) -> None:
    text = (DOCS / "findings.md").read_text()
    planned = findings.plan(DOCS / "findings")
    assert {name for _, name, _ in findings.BLOCK.findall(text)} == planned["blocks"].keys()
    assert findings.rebuilt(text, study, planned) == text


def test_the_promised_amount_is_there(study) -> None:
    """A thousand rows, three simulated and three real sets, five seeds, and nothing hidden."""
    rows = study.rows
    assert len(rows) >= 1000 and rows["seed"].nunique() >= 5
    simulated = rows["dataset"].str.endswith("-sim")
    assert rows.loc[simulated, "dataset"].nunique() == 3 and rows.loc[~simulated, "dataset"].nunique() == 3
    assert study.manifest["asked"] == len(rows)


def test_figures_that_the_document_shows_exist() -> None:
    text = (DOCS / "findings.md").read_text()
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert shown and all((DOCS / path).is_file() for path in shown)


def test_a_changed_document_is_noticed_and_an_unknown_block_refused(tmp_path, study, capsys) -> None:
    text = (DOCS / "findings.md").read_text()
    folder = tmp_path / "findings"
    shutil.copytree(DOCS / "findings", folder)
    document = tmp_path / "findings.md"
    block = findings.BLOCK.search(text)
    assert block is not None
    document.write_text(text[: block.start()] + "<!-- begin counts -->\n<!-- end -->\n")
    with pytest.raises(SystemExit) as ended:
        findings.main([str(folder), "--check"])
    assert ended.value.code == 1 and "not what the studies say" in capsys.readouterr().out
    with pytest.raises(UserError, match="did you mean 'counts'"):
        findings.rebuilt("<!-- begin count -->\n<!-- end -->", study, findings.plan(folder))


def test_tables_show_unknown_as_a_dash() -> None:
    table = pd.DataFrame({"name": ["a", None], "value": [0.12345, float("nan")]})
    assert markdown(table).splitlines()[2:] == ["| a | 0.123 |", "| – | – |"]


def test_a_plan_that_names_no_known_table_is_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="tables.toml does not exist"):
        findings.plan(tmp_path)
    (tmp_path / "tables.toml").write_text('[blocks.counts]\ntable = "count"\n')
    with pytest.raises(UserError, match="blocks.counts has table 'count'"):
        findings.plan(tmp_path)


def test_rows_are_selected_by_what_they_are() -> None:
    rows = pd.DataFrame({"study": ["a-gates", "a-gates", "a-semi"], "snr_db": [0.0, 30.0, 10.0]})
    assert selected(rows, []).equals(rows)
    assert selected(rows, [{"study": "*-gates"}]).index.tolist() == [0, 1]
    assert selected(rows, [{"study": "*-gates", "quiet": True}, {"snr_db": [10.0]}]).index.tolist() == [1, 2]
    with pytest.raises(UserError, match="did you mean 'study'"):
        selected(rows, [{"studdy": "x"}])
    with pytest.raises(UserError, match="no row meets"):
        selected(rows, [{"study": "b-*"}])


def test_correlations_of_the_findings_are_within_noise_levels(study) -> None:
    """Pooled over noise levels, Silhouette and accuracy go together on harth-sim; within each they do not."""
    table = geometry.measured(study)
    assert table["world"].nunique() == 16  # of six data sets
    harth = table[(table["dataset"] == "harth-sim") & (table["role"] != "reference")]
    pair = ["silhouette", "probe_balanced_accuracy"]
    assert harth[pair].astype(float).corr("spearman").iloc[0, 1] > 0.3
    rho = geometry.correlations(table)
    own = rho[rho["world"].str.startswith("harth-sim") & (rho["method"] == geometry.ALL)]
    own = own[(own["clustering"] == pair[0]) & (own["probe"] == pair[1])]
    assert len(own) == 3 and (own["spearman"] < 0).all()


def test_every_undecided_verdict_says_how_many_seeds_would_do(study) -> None:
    found = [grid for grid in grids(study) if grid.method == "emargin" and grid.gate == "intended"]
    judged = robustness.verdicts(found, study.metric("silhouette"), 0.1)
    strongest = judged[judged["verdict"] == "undecided"].nsmallest(2, "p_sensitive")
    assert (strongest["p_sensitive"] < 0.06).all() and (strongest["units_needed"] == 6).all()


def test_joined_grids_fit_better_over_the_share(study) -> None:
    found = [grid for grid in grids(study) if grid.method == "emargin" and grid.gate == "intended"]
    table = pd.concat(
        robustness.common_curve(found, study.metric(name))
        for name in ("silhouette", "probe_balanced_accuracy")
    )
    gap = table[table["over"] == "share minus cosine"]
    assert len(gap) == 12 and (gap["r2"] > 0).all()
