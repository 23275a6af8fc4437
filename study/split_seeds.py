"""The split seeds of a study that does not set any."""

from emargin_train.data.settings import DataConfig, DatasetSettings
from emargin_train.settings import declared
from study.settings import StudySettings


def by_default(settings: StudySettings) -> tuple[int, ...]:
    """Split 0; with --split leave-one-subject-out, one split for every subject.

    For the latter the data are loaded, in order to count the subjects.
    """
    if settings.split != "leave-one-subject-out" or settings.split_seeds:
        return (0,)
    from emargin_train.data import load

    data = DataConfig(**{name: getattr(settings, name) for name in declared(DatasetSettings)})
    subjects = {name for frames in load(data).by_name().values() for name in frames.subject.tolist()}
    return tuple(range(len(subjects)))
