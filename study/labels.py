"""A study of recordings without labels: what it leaves out, and what it refuses."""

from dataclasses import replace

from emargin_train.data.catalogue import find
from emargin_train.errors import UserError
from emargin_train.evaluation.metrics import METRICS
from emargin_train.methods import METHODS
from study.settings import DIRECTED, StudySettings


def checked(settings: StudySettings) -> StudySettings:
    """The settings; for recordings without labels, without the references that learn from labels.

    Raises UserError for a method or goal that needs labels, and for a goal that needs a number of clusters.
    """
    if find(settings.dataset).labelled:
        return settings
    for method in (*settings.methods, settings.baseline):
        if method in METHODS and METHODS[method].needs_labels:
            flag = "--baseline" if method == settings.baseline else "--method"
            raise UserError(
                f"{flag} is {method}, which learns from labels, but {settings.dataset} has none: give another"
            )
    for goal in settings.goals:
        if METRICS[goal].needs_labels:
            free = [name for name in DIRECTED if not METRICS[name].needs_labels]
            raise UserError(
                f"--goals has {goal}, which needs labels, but {settings.dataset} has none: give others, as "
                f"--goals silhouette,alignment --clusters 5 (known: {', '.join(free)})"
            )
        if METRICS[goal].group == "clustering" and settings.clusters is None:
            raise UserError(
                f"--goals has {goal}, which needs a number of clusters, but {settings.dataset} has no "
                "classes to tell it: give --clusters"
            )
    return replace(
        settings, references=tuple(name for name in settings.references if not METHODS[name].needs_labels)
    )
