"""Read several studies as one, so that datasets and noise levels of separate studies are judged together."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis import schema
from analysis.tables import SHARE_DIGITS, Study, as_given


def join(studies: Sequence[Study]) -> Study:
    """The rows of all studies as one study; a single study is returned unchanged.

    A trial is called "study/trial", so that all names differ; if two studies have the same name, their
    folders are used instead. Where studies trained one setting on different splits or seeds, as when a study
    gets more splits under another name, its rows are one trial, called as in the first study. Charts go to
    the folder of the first study. The settings are those that all studies share; the planned numbers of rows
    add up.
    """
    if len(studies) == 1:
        return studies[0]
    first = studies[0]
    same = len({study.name for study in studies}) < len(studies)  # such as runs/a and elsewhere/a
    names = [str(study.folder) if same else study.name for study in studies]
    rows = [
        study.rows.assign(trial=name + "/" + study.rows["trial"])
        for name, study in zip(names, studies, strict=True)
    ]
    asked: list[Any] = [study.manifest.get("asked") for study in studies]
    manifest: dict[str, Any] = {"asked": None if None in asked else sum(asked)}
    for name in ("clusters", "dataset_titles"):
        manifest[name] = {k: v for study in studies for k, v in study.manifest.get(name, {}).items()}
    manifest["subjects"] = _subjects(studies)
    joined = Study(
        folder=first.folder,
        name=", ".join(names),
        rows=pd.concat([part.dropna(axis="columns", how="all") for part in rows], ignore_index=True).reindex(
            columns=list(dict.fromkeys(name for part in rows for name in part.columns))
        ),
        schema=schema.merged(study.schema for study in studies),
        settings={
            name: value
            for name, value in first.settings.items()
            if all(study.settings.get(name) == value for study in studies)
        },
        manifest=manifest,
        absent=tuple(name for name in first.absent if all(name in study.absent for study in studies)),
    )
    return joined.with_rows(_continued(joined))


def _continued(study: Study) -> pd.DataFrame:
    """The rows, with one name for trials of several studies with equal settings and different replicates."""
    trials = as_given(study.rows.groupby("trial", sort=False).first())
    trials["dissimilar_share"] = trials["dissimilar_share"].astype(float).round(SHARE_DIGITS)
    setting = ["dataset", "method", "role", "gate_given_as", *study.setting_columns]
    known = [name for name in dict.fromkeys(setting) if trials[name].notna().any()]
    seeds = study.rows[["split_seed", "seed"]].fillna(-1)
    replicates = seeds.groupby(study.rows["trial"]).agg(tuple)
    names: dict[str, str] = {}
    for _, own in trials.groupby(known, sort=False, dropna=False):
        there: dict[str, set[Any]] = {}  # trials that stay, with the studies and replicates that they have
        for trial in own.index:
            new = {trial.rpartition("/")[0], *zip(*replicates.loc[trial], strict=True)}
            name = next((name for name, old in there.items() if not old & new), trial)
            there.setdefault(name, set()).update(new)
            names[trial] = name
    return study.rows.assign(trial=study.rows["trial"].map(names))


def _subjects(studies: Sequence[Study]) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Who is in which split, by dataset and split seed.

    Null for a split seed of which studies say different things, as with another number of subjects, or
    nothing.
    """
    found: dict[str, dict[str, Any]] = {}
    for study in studies:
        said = study.manifest.get("subjects", {})
        for dataset in study.rows["dataset"].unique():
            splits = found.setdefault(dataset, {})
            for seed in map(str, study.rows.loc[study.rows["dataset"] == dataset, "split_seed"].unique()):
                own = said.get(dataset, {}).get(seed)
                splits[seed] = own if splits.get(seed, own) == own else None
    return found
