"""docs/findings.md says what the studies beside it say."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis import findings, findings_tables
from analysis.errors import UserError

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def study():
    return findings.studies(DOCS / "findings")


def test_every_block_of_the_document_is_what_the_studies_give(study) -> None:
    text = (DOCS / "findings.md").read_text()
    assert {name for _, name, _ in findings.BLOCK.findall(text)} == findings_tables.BLOCKS.keys()
    assert findings.rebuilt(text, study) == text


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
        findings.rebuilt("<!-- begin count -->\n<!-- end -->", study)


def test_tables_show_unknown_as_a_dash() -> None:
    table = pd.DataFrame({"name": ["a", None], "value": [0.12345, float("nan")]})
    assert findings_tables.markdown(table).splitlines()[2:] == ["| a | 0.123 |", "| – | – |"]
