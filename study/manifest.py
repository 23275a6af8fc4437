"""The manifest says on which data, splits and machines a study runs; beside it are the measured frames."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from emargin_train.data import load
from emargin_train.data.catalogue import find
from emargin_train.data.frames import Splits
from emargin_train.evaluation.chosen import choose
from study import plan, results
from study.secrets import without_password
from study.settings import StudySettings
from study.tracking import uri as tracking_uri


def write(
    settings: StudySettings,
    study_plan: tuple[plan.Arm, ...],
    study_id: str,
    splits: Splits,
    resources: dict[str, Any] | None,
    uri: str,
) -> None:
    """Write manifest.json, and which frames of each split are measured.

    resources: of the cluster; None where no trial is left to run, so that none was joined
    """
    first = plan.first_data(settings, study_plan)
    dataset = find(settings.dataset)
    described, subjects, measured = {}, {}, set()
    for split_seed in settings.split_seeds or ():
        own = load(replace(first, split_seed=split_seed))
        chosen = choose(own, seed=split_seed, cap=settings.evaluation_frames)
        chosen.save(settings.folder / "evaluation_frames" / f"{split_seed}.npz")
        described[split_seed] = own.described
        subjects[str(split_seed)] = own.subjects
        n_classes = len(np.unique(own.validation.y[chosen.balanced])) if chosen.labelled else 0
        measured.add(settings.clusters or n_classes)
    results.write_manifest(
        settings.folder,
        study_id=study_id,
        asked=sum(len(job.replicates) for job in plan.jobs(settings, study_plan)),
        data_hash=splits.data_hash,
        described=described,
        subjects={dataset.name: subjects},
        titles={dataset.name: dataset.title},
        clusters={dataset.name: max(measured)},
        classes=splits.class_names,
        resources=resources,
        tracking_uri=None if uri == tracking_uri.local(Path(settings.out)) else without_password(uri),
    )
