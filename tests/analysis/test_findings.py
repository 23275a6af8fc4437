"""docs/findings.md agrees with the studies in docs/findings/."""

import dataclasses
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from analysis import answers, charts, contrasts, evidence, findings, geometry, sentences
from analysis.contrasts import POOLED, REAL
from analysis.errors import UserError
from analysis.markdown import markdown
from analysis.selection import selected

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "findings.md").read_text()
PLANNED = findings.plan(DOCS / "findings")
LARGEST = 500_000  # bytes of a figure


@pytest.fixture(scope="module")
def found():
    return evidence.gather(findings.studies(DOCS / "findings"))


def test_every_block_and_number_of_the_document_is_what_the_studies_give(found) -> None:
    assert {name for _, name, _ in findings.BLOCK.findall(TEXT)} == PLANNED["blocks"].keys()
    readme = (DOCS.parent / "README.md").read_text()
    assert findings.INLINE.search(readme)
    for text in (TEXT, readme):
        assert findings.rebuilt(text, found, PLANNED) == text


def test_every_planned_contrast_is_reported_and_the_others_are_called_post_hoc(found) -> None:
    for name in ("plan.toml", "posthoc.toml"):
        for contrast in contrasts.read(DOCS / "findings" / name).contrasts:
            (at,) = (
                match.start() for match in re.finditer(rf"^\*\*{contrast.name}\.\*\*", TEXT, re.MULTILINE)
            )
            part = TEXT[TEXT.rindex("<!-- begin ", 0, at) : at]
            before = TEXT[: TEXT.rindex("<!-- begin ", 0, at)].rsplit("\n\n", 2)[-2]
            assert ("planned-" in part) == (name == "plan.toml")
            assert ("ost hoc" in before) == (name == "posthoc.toml")


def test_the_plan_is_older_than_every_row(found) -> None:
    """The revision that trained the planned rows has the plan already, with the very same contrasts.

    The second look was added before its own rows, which have split seeds from 10.
    """
    now = tomllib.loads((DOCS / "findings" / "plan.toml").read_text())
    rows = found.study.rows[found.study.rows["study"].str.match("q[123]-")]
    first = rows["split_seed"] < 10
    revisions = {*zip(rows["git_revision"], first, strict=True)}
    assert revisions and not any(revision.endswith("+") for revision, _ in revisions)
    for revision, is_first in sorted(revisions):
        show = ["git", "-C", str(DOCS), "show", f"{revision}:docs/findings/plan.toml"]
        ran = subprocess.run(show, capture_output=True, text=True)
        if ran.returncode:
            pytest.skip(f"this clone has no revision {revision[:7]}")
        then = tomllib.loads(ran.stdout)
        assert (then | {"looks": now["looks"]} if is_first else then) == now


def test_numbers_in_prose_are_settings_or_written_by_the_program() -> None:
    """Outside blocks, marks and links, decimals are margins, thresholds and shares that were set.

    Others are the paper's figures, as `study.published` has them.
    """
    prose = findings.INLINE.sub("", findings.BLOCK.sub("", TEXT))
    prose = re.sub(r"\([^)]*\.(?:md|toml|png|svg)[^)]*\)|arXiv \S+|`[^`]*`", "", prose)
    from study.published import FIGURES  # at the top, it would read declarations before torch is there

    published = {FIGURES["ecg"].figures[name] for name in ("silhouette", "davies_bouldin")}
    chosen = {"0.1", "0.05", "0.4", "0.5", "0.2", "0.8", "5.7"}
    assert set(re.findall(r"\d+\.\d+", prose)) <= chosen | published


def test_figures_are_shown_small_and_drawn_again_byte_by_byte(found, tmp_path) -> None:
    shown = set(re.findall(r"!\[[^]]*\]\(findings/figures/([^)]+)\)", TEXT))
    kept = {path.name: path for path in (DOCS / "findings" / "figures").iterdir()}
    complete = found.named == set(found.rows["contrast"])
    assert kept.keys() == shown if complete else kept.keys() <= shown
    assert all(path.stat().st_size < LARGEST for path in kept.values())
    drawn = findings.figures(found.study, PLANNED, tmp_path / "figures")
    assert {path.name for path in drawn} == kept.keys()
    for path in drawn:
        assert path.read_bytes() == kept[path.name].read_bytes(), path.name


def test_a_changed_document_is_noticed_and_unknown_marks_are_refused(tmp_path, found, capsys) -> None:
    folder = tmp_path / "findings"
    folder.mkdir()
    for path in (DOCS / "findings").glob("q1-*-emargin"):
        shutil.copytree(path, folder / path.name)
    for name in ("plan.toml", "posthoc.toml", "tables.toml"):
        shutil.copy(DOCS / "findings" / name, folder)
    document = tmp_path / "findings.md"
    document.write_text("There are <!-- = rows -->12<!-- / --> rows.\n<!-- begin counts -->\n<!-- end -->\n")
    with pytest.raises(SystemExit) as ended:
        findings.main([str(folder), "--check"])
    assert ended.value.code == 1 and "not what the studies say" in capsys.readouterr().out
    findings.main([str(folder)])
    rows = len(findings.studies(folder).rows)
    assert f"There are <!-- = rows -->{rows}<!-- / --> rows." in document.read_text()
    assert "without rows so far: all-against-half, all-steps" in capsys.readouterr().out
    for text, message in {
        "<!-- begin count -->\n<!-- end -->": "did you mean 'counts'",
        "<!-- = row --><!-- / -->": "asks for 'row'",
        "<!-- = headlin probe --><!-- / -->": "did you mean 'headline'",
        "<!-- = answer Q4 --><!-- / -->": "answer to 'Q4'",
    }.items():
        with pytest.raises(UserError, match=message):
            findings.rebuilt(text, found, PLANNED)


SIZE = {"question": "Q1", "p": 0.5, "difference": 0.01, "margin": 0.05}
ROW = {"difference": 0.03, "low": 0.01, "high": 0.05, "margin": 0.05, "metric": "test_silhouette"}


@pytest.mark.parametrize(
    "verdict, said",
    [
        ("higher", "raises Silhouette (+0.030 [+0.010, +0.050])"),
        ("lower", "lowers Silhouette (+0.030 [+0.010, +0.050])"),
        ("equivalent", "leaves Silhouette within the margin of 0.05 (+0.030 [+0.010, +0.050])"),
        ("undecided", "shows no clear change of Silhouette (+0.030 [+0.010, +0.050])"),
    ],
)
def test_sentences_end_as_the_verdict_says(verdict, said) -> None:
    row = next(pd.DataFrame([ROW | {"verdict": verdict}]).itertuples())
    assert sentences.says(row) == sentences.says(row, ["higher", "undecided"]) == said


def test_a_mean_that_is_open_does_not_hide_that_all_datasets_agree() -> None:
    row = next(pd.DataFrame([ROW | {"verdict": "undecided", "low": -0.01}]).itertuples())
    size = "(+0.030 [-0.010, +0.050])"
    said = f"lowers Silhouette on every dataset, by amounts that differ much {size}"
    assert sentences.says(row, ["lower"] * 3) == said
    assert sentences.says(row, ["equivalent"] * 3) == f"shows no clear change of Silhouette {size}"


def test_datasets_and_noise_levels_are_those_that_have_rows(found) -> None:
    q1 = found.study.rows.query("study.str.startswith('q1-')")
    said = sentences.value(found, "sets Q1")
    assert all(name in said for name in q1.groupby("dataset").filter(lambda of: len(of) == 70)["dataset"])
    nothing = evidence.Evidence(found.study, found.plan, found.rows.iloc[:0], found.named)
    assert sentences.value(nothing, "sets Q1") == "none yet"
    rows = found.study.rows.query("method == 'emargin'").head(2)
    rows = rows.assign(
        snr_db=[30.0, 0.0], dissimilar_share=1.0, gate_given_as="dissimilar_share", study="q3-a-share"
    )
    noisy = evidence.Evidence(
        dataclasses.replace(found.study, rows=rows), found.plan, found.rows, found.named
    )
    assert sentences.value(noisy, "noise all-steps") == "–"  # no dataset has the other side
    assert sentences.value(found, "noise all-steps").endswith(" dB")


def test_one_dataset_alone_says_nothing_about_all() -> None:
    alone = ROW | {"low": float("nan"), "high": float("nan"), "verdict": "undecided", "splits": 1}
    said = sentences.says(next(pd.DataFrame([alone]).itertuples()))
    assert said == "has been measured on one dataset so far (Silhouette +0.030)"
    unknown = alone | {"splits": 2, "difference": float("nan")}  # two datasets with one split each
    said = sentences.says(next(pd.DataFrame([unknown]).itertuples()))
    assert said == "has been measured on too few splits so far"
    assert sentences.says(None) == "has not been measured yet"


def test_answers_exist_for_every_combination_of_verdicts(found) -> None:
    """Also before anything was measured."""
    names = ["headline", "labels", "infonce-narrowed", "emargin-spread", "papers-threshold", "all-steps"]
    metrics = list(evidence.SHORT.values())
    empty = pd.DataFrame(columns=found.rows.columns)
    nothing = evidence.Evidence(found.study, found.plan, empty, found.named)
    for question in ("Q1", "Q2", "Q3"):
        assert answers.ANSWERS[question](nothing) == answers.UNMEASURED
    said = set()
    for first in sentences.VERDICTS:
        for second in sentences.VERDICTS:
            verdicts = dict(zip(metrics, (first, second, first), strict=True))
            rows = [
                {"contrast": name, "metric": metric, "dataset": POOLED, "verdict": verdicts[metric]} | SIZE
                for name in names
                for metric in metrics
            ]
            made = evidence.Evidence(found.study, found.plan, pd.DataFrame(rows), found.named)
            said |= {answers.ANSWERS[question](made) for question in ("Q1", "Q2", "Q3")}
    assert all(sentence.endswith(".") for sentence in said) and len(said) > 8


def test_two_datasets_say_what_each_of_them_shows_although_their_mean_is_open(found) -> None:
    verdicts = {"papers-threshold": "equivalent", "all-steps": "higher"}
    rows = [
        {"contrast": name, "metric": metric, "dataset": dataset, "verdict": verdict} | SIZE
        for name, shown in verdicts.items()
        for metric in evidence.SHORT.values()
        for dataset, verdict in {"one": shown, "two": shown, POOLED: "undecided"}.items()
    ]
    made = evidence.Evidence(found.study, found.plan, pd.DataFrame(rows), found.named)
    assert answers.ANSWERS["Q3"](made) == (
        "The paper's threshold of 0.4 does the same as none on each of 2 datasets. When every step is "
        "called dissimilar, rather than none, Silhouette rises on 2 of 2 datasets, and accuracy rises on 2 "
        "of 2 datasets."
    )
    alone = evidence.Evidence(
        found.study, found.plan, pd.DataFrame(rows).query("dataset != 'two'"), found.named
    )
    assert answers.ANSWERS["Q3"](alone) == (
        "The paper's threshold of 0.4 does the same as none on the one dataset so far. When every step is "
        "called dissimilar, rather than none, Silhouette rises on the one dataset so far, and accuracy rises "
        "on the one dataset so far."
    )


def answered(found, question: str, verdicts: dict[tuple[str, str], dict[str, str]], **more: float) -> str:
    """The answer to a question from verdicts by contrast, metric and dataset."""
    rows = [
        {"contrast": name, "metric": evidence.SHORT[metric], "dataset": dataset, "verdict": verdict}
        | SIZE
        | more
        for (name, metric), of in verdicts.items()
        for dataset, verdict in of.items()
    ]
    return answers.ANSWERS[question](
        evidence.Evidence(found.study, found.plan, pd.DataFrame(rows), found.named)
    )


def test_a_mean_that_rests_on_simulated_data_does_not_answer(found) -> None:
    for real, said in (
        ("higher", "accuracy rises,"),
        ("undecided", "accuracy rises on 1 and shows no clear change on 1 of 2 datasets,"),
    ):
        sets = {"a": "higher", "b": "undecided", POOLED: "higher", REAL: real}
        verdicts = {("labels", metric): sets for metric in ("probe", "silhouette")}
        assert said in answered(found, "Q1", verdicts)


def test_each_dataset_is_said_only_where_both_metrics_are_equivalent_on_each(found) -> None:
    same, open_ = {"a": "equivalent", "b": "equivalent"}, {POOLED: "undecided"}
    steps = {("all-steps", metric): {POOLED: "higher"} for metric in ("silhouette", "probe")}
    one = {("papers-threshold", "silhouette"): {"a": "equivalent", "b": "higher", POOLED: "equivalent"}}
    two = {("papers-threshold", "probe"): same | open_}
    said = answered(found, "Q3", one | two | steps)
    assert "on each of" not in said and "does the same as none." in said
    said = answered(found, "Q3", {("papers-threshold", "silhouette"): same | open_} | two | steps)
    assert "does the same as none on each of 2 datasets." in said


def test_a_small_change_that_is_shown_has_a_direction(found) -> None:
    steps = {("all-steps", "silhouette"): {POOLED: "higher"}, ("all-steps", "probe"): {POOLED: "equivalent"}}
    none = {("papers-threshold", metric): {POOLED: "equivalent"} for metric in ("silhouette", "probe")}
    said = answered(found, "Q3", steps | none, p=0.001, difference=-0.02)
    assert said.endswith("accuracy falls by less than 0.05.")
    assert answered(found, "Q3", steps | none).endswith("accuracy changes by less than 0.05.")


@pytest.mark.parametrize(
    "narrowed, widened, lead",
    [
        ({POOLED: "higher"}, {POOLED: "lower"}, "Because they are narrow"),
        ({POOLED: "higher"}, {POOLED: "undecided"}, "In part because"),
        ({POOLED: "undecided"}, {POOLED: "undecided"}, "Not because"),
        ({POOLED: "lower"}, {POOLED: "lower"}, "The evidence is mixed"),
        # datasets that disagree support nothing
        ({POOLED: "undecided", "a": "higher", "b": "lower"}, {POOLED: "undecided"}, "Not because"),
        ({POOLED: "undecided"}, {POOLED: "undecided", "a": "higher", "b": "lower"}, "Not because"),
    ],
)
def test_what_the_spread_explains_follows_from_both_interventions(found, narrowed, widened, lead) -> None:
    verdicts = {
        (name, metric): of
        for name, of in (
            ("headline", {POOLED: "higher"}), ("infonce-narrowed", narrowed), ("emargin-spread", widened)
        )
        for metric in ("silhouette", "probe")
    }  # fmt: skip
    assert answered(found, "Q2", verdicts).startswith(lead)


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
    shares = pd.DataFrame({"dissimilar_share": [0.50003, 0.05, 0.4998]})  # counted, so not quite as set
    assert selected(shares, [{"dissimilar_share": 0.5}]).index.tolist() == [0, 2]
    rates = pd.DataFrame({"learning_rate": [1e-3, 5e-4, 1e-4]})  # set, so exactly that
    assert selected(rates, [{"learning_rate": 0.001}]).index.tolist() == [0]
    with pytest.raises(UserError, match="did you mean 'study'"):
        selected(rows, [{"studdy": "x"}])
    with pytest.raises(UserError, match="no row meets"):
        selected(rows, [{"study": "b-*"}])


def test_correlations_of_the_document_are_within_noise_levels(found) -> None:
    """A world, within which they are taken, has one dataset and one noise level."""
    rows = findings._part(found.study, PLANNED["blocks"]["correlations"])
    table = geometry.measured(rows if rows is not None else found.study)
    worlds = table.groupby("world").agg({"dataset": "nunique", "snr_db": lambda db: db.nunique(dropna=False)})
    assert (worlds == 1).all().all()
    assert set(geometry.correlations(table)["world"]) <= set(worlds.index)


def test_charts_of_contrasts_show_all_datasets(found) -> None:
    own = found.rows[found.rows["contrast"] == "labels"]
    from analysis.findings_charts import forest_panel

    drawn = forest_panel(own[own["metric"] == "test_silhouette"], "Silhouette").to_dict()
    assert len(next(iter(drawn["datasets"].values()))) == own["dataset"].nunique()
    assert charts.on_paper(drawn)["config"]["font"] == charts.PAPER_FONT
