"""A study of recordings without labels: what it leaves out, and what it refuses."""

from dataclasses import replace

from emargin_train.declarations import declarations
from emargin_train.errors import UserError
from study.settings import DIRECTED, StudySettings


def checked(settings: StudySettings) -> StudySettings:
    """The settings; for recordings without labels, without the references that learn from labels.

    Raises UserError for a method or goal that needs labels, and for a goal that needs a number of clusters.
    """
    from emargin_train.data.catalogue import find  # it loads the readers of all files, which --help need not

    if find(settings.dataset).labelled:
        return settings
    methods, metrics = declarations().methods, declarations().metrics
    for method in (*settings.methods, settings.baseline):
        if method in methods and methods[method].needs_labels:
            flag = "--baseline" if method == settings.baseline else "--method"
            raise UserError(
                f"{flag} is {method}, which needs labels, but {settings.dataset} has none: give another one"
            )
    for goal in settings.goals:
        if metrics[goal].needs_labels:
            free = [name for name in DIRECTED if not metrics[name].needs_labels]
            raise UserError(
                f"--goals has {goal}, which needs labels, but {settings.dataset} has none: give others, as "
                f"--goals silhouette,alignment --clusters 5 (known: {', '.join(free)})"
            )
    for goal in settings.goals:
        if metrics[goal].group == "clustering" and settings.clusters is None:
            raise UserError(
                f"--goals has {goal}, which needs a number of clusters, but {settings.dataset} has no "
                "classes that would give it: give --clusters"
            )
    return replace(
        settings, references=tuple(name for name in settings.references if not methods[name].needs_labels)
    )
