"""Parts of the page that readers act on: links to runs, the front's chart, fonts, words, who was tested."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont

import analysis
from analysis import charts, mlflow_links, pareto, pareto_charts, rendering
from analysis.joined import join
from analysis.tables import Study
from analysis.words import inline
from tests.analysis import synthetic


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    rows = synthetic.rows(trials=6, baseline_trials=3, diverged=0, failed=0)
    folder = synthetic.write(tmp_path_factory.mktemp("runs") / "a", rows)
    (folder.parent / mlflow_links.DATABASE).touch()
    return analysis.load(folder)


def spec_of(study: Study) -> dict[str, Any]:
    x, y = pareto.goals(study)
    return pareto_charts.front_chart(study, pareto.trade_off(study, x, y).assign(setting=""), x, y).to_dict()


def test_a_trial_links_to_its_runs(study: Study) -> None:
    found = mlflow_links.links_html(study, "emargin-0000")
    links = re.findall(r'href="([^"]+)">(\d)<', found)
    assert links == [(f"http://127.0.0.1:5000/#/runs/emargin-0000-{s}", str(s + 1)) for s in range(3)]
    assert mlflow_links.first_runs(study, ["pca", "nobody"]) == {"pca": "http://127.0.0.1:5000/#/runs/pca-0"}
    told = study.with_rows(study.rows.assign(mlflow_experiment_id="7"))
    whole = "http://127.0.0.1:5000/#/experiments/7/runs/pca-0?workflowType=machine_learning"
    assert mlflow_links.first_runs(told, ["pca"]) == {"pca": whole}
    assert f"--out {study.folder.parent}" in mlflow_links.note(study)
    elsewhere = dataclasses.replace(study, folder=study.folder / "copied")  # without a database beside it
    assert mlflow_links.note(elsewhere) == ""
    unknown = study.with_rows(study.rows.assign(mlflow_run_id=None))
    assert mlflow_links.note(unknown) == "" and mlflow_links.links_html(unknown, "pca") == "–"


@pytest.mark.parametrize(
    "uri, server",
    [
        ("https://ada:secret@flow.example.org/mlflow/", "https://flow.example.org/mlflow"),
        ("http://10.0.0.1:5000", "http://10.0.0.1:5000"),
        ("postgresql://ada@db/mlflow", mlflow_links.LOCAL),
    ],
)
def test_links_lead_to_the_server_of_the_study_without_its_password(
    study: Study, uri: str, server: str
) -> None:
    study.settings["tracking_uri"] = uri
    assert mlflow_links.server(study) == server and "secret" not in mlflow_links.note(study)
    # a database that is not the one beside the study is shown by no server that we know
    assert (mlflow_links.note(study) == "") is (server == mlflow_links.LOCAL)
    del study.settings["tracking_uri"]
    told = dataclasses.replace(study, manifest=study.manifest | {"tracking_uri": uri})
    assert mlflow_links.server(told) == server


def test_axes_hold_all_points_and_are_not_stretched_by_whiskers(study: Study) -> None:
    rows = study.rows.copy()
    wide = (rows["trial"] == "emargin-0000") & (rows["seed"] == 0)
    rows.loc[wide, "silhouette"] = -0.9  # one seed of one trial: its interval spans the whole range
    x, y = pareto.goals(study)
    table = pareto.trade_off(study.with_rows(rows), x, y)
    assert table["silhouette_low"].min() == -1
    encodings = [layer["encoding"] for layer in spec_of(study.with_rows(rows))["layer"]]
    domains = {tuple(one["x"]["scale"]["domain"]) for one in encodings if "scale" in one.get("x", {})}
    ((low, high),) = domains
    values = table["silhouette"]
    assert low < values.min() and high > values.max() and high - low < 1.2 * np.ptp(values)


def test_legend_has_shapes_in_full_colour_and_references_apart(study: Study) -> None:
    layers = spec_of(study)["layer"]
    shapes = [layer["encoding"]["shape"] for layer in layers if "shape" in layer["encoding"]]
    of_methods, of_references = shapes
    (coloured,) = [layer["encoding"]["color"] for layer in layers if "shape" in layer["encoding"]
                   and "field" in layer["encoding"]["color"]]  # fmt: skip
    assert of_methods["legend"] == coloured["legend"] and coloured["legend"]["symbolOpacity"] == 1
    assert of_methods["scale"]["domain"] == coloured["scale"]["domain"] == ["eMargin", "InfoNCE"]
    assert len(set(of_methods["scale"]["range"])) == 2
    assert of_references["legend"]["title"] == "References"
    assert len(set(of_references["scale"]["range"])) == len(of_references["scale"]["domain"]) == 5
    assert not set(of_references["scale"]["domain"]) & set(of_methods["scale"]["domain"])


@pytest.mark.parametrize("fonts", ["none", "another Liberation Sans"])
def test_files_are_the_same_whatever_fonts_a_machine_has(study: Study, tmp_path: Path, fonts: str) -> None:
    code = "import sys, json; from analysis import rendering; from pathlib import Path; "
    code += "rendering.draw(json.load(sys.stdin), Path(sys.argv[1]))"
    spec = json.dumps(charts.on_paper(spec_of(study)))

    def drawn(
        name: str, *before: str
    ) -> None:  # by a process of its own, since the renderer numbers its clips
        command = [*before, sys.executable, "-c", code, str(tmp_path / name)]
        subprocess.run(command, input=spec, text=True, check=True)

    drawn("here")
    svg = (tmp_path / "here.svg").read_text(encoding="utf-8")
    assert set(re.findall(r'font-family="([^"]+)"', svg)) == {charts.PAPER_FONT}
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("changing the fonts of this machine needs root and unshare")
    change = "mount -t tmpfs none /usr/share/fonts"
    if fonts != "none":  # the second name that a file asks for, as an operating system may have it
        other = tmp_path / "other.ttf"
        save_as(rendering.FONTS / "EmarginFigures-Bold.ttf", "Liberation Sans", other)
        change += f" && cp {other} /usr/share/fonts"
    drawn("bare", "unshare", "-m", "sh", "-c", f'{change} && exec "$@"', "sh")
    for suffix in ("svg", "png"):
        assert (tmp_path / f"here.{suffix}").read_bytes() == (tmp_path / f"bare.{suffix}").read_bytes()


def save_as(font: Path, family: str, target: Path) -> None:
    """The same glyphs as another font of regular weight."""
    made = TTFont(font)
    for number, words in ((1, family), (2, "Regular"), (4, family), (6, family.replace(" ", ""))):
        made["name"].setName(words, number, 3, 1, 0x409)
    made["OS/2"].usWeightClass = 400
    made.save(target)


@pytest.mark.parametrize(
    "title, words",
    [
        ("Threshold", "threshold"), ("SNR (dB)", "SNR (dB)"), ("kNN accuracy", "kNN accuracy"),
        ("NMI", "NMI"), ("Pseudo-label F1", "pseudo-label F1"),
        ("Davies–Bouldin", "Davies–Bouldin"), ("Silhouette, test", "Silhouette, test"), ("PCA", "PCA"),
        ("InfoNCE", "InfoNCE"), ("Raw spectra", "raw spectra"), ("F1 (logistic)", "F1 (logistic)"),
    ],
)  # fmt: skip
def test_names_keep_their_capitals_within_a_sentence(title: str, words: str) -> None:
    assert inline(title) == words


def test_joined_studies_know_their_subjects_unless_they_disagree(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=1, baseline_trials=0, references=False, diverged=0, failed=0, seeds=1)
    people = {"test": ["s1"]}
    studies = []
    for name, said in (("a", {"0": people, "1": people}), ("b", {"1": {"test": ["s2"]}}), ("c", {})):
        both = pd.concat([rows.assign(split_seed=split) for split in map(int, said or {"2": None})])
        studies.append(analysis.load(synthetic.write(tmp_path / name, both.assign(study=name))))
        studies[-1].manifest["subjects"] = {"sleepeeg-sim": said} if said else {}
        studies[-1].manifest["dataset_titles"] = {"sleepeeg-sim": f"title of {name}"}
    joined = join(studies)
    assert joined.manifest["subjects"] == {"sleepeeg-sim": {"0": people, "1": None, "2": None}}
    assert joined.full_data_title("sleepeeg-sim") == "title of c"


def test_a_signal_to_our_group_does_not_reach_the_process_that_draws() -> None:
    with rendering.Renderer() as renderer:
        assert os.getpgid(renderer._process.pid) != os.getpgid(0)
