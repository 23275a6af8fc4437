"""A search carries the id of its study, so that two studies of the same name never share trials.

The parts of a study (--shard) share a search: it carries the id of each part, and a digest of the settings
that all parts have in common.
"""

import dataclasses
import hashlib
import json
import time

import optuna
from optuna.storages import BaseStorage

from emargin_train.errors import UserError
from study import identity
from study.goals import directions
from study.own_files import put_aside
from study.plan import Arm
from study.search.storage import RETOLD, make_storage, study_name
from study.secrets import without_password
from study.settings import OPERATIONAL, StudySettings

ID, FOLDER, SETTINGS = "study_id", "folder", "settings"  # attributes of an Optuna study
PATIENCE_S = 5.0  # another driver of this name may have made its search but not yet marked it


class Foreign(Exception):
    """The storage holds a search of this name that belongs to another study."""


def check_free(settings: StudySettings, plan: tuple[Arm, ...]) -> None:
    """Raises UserError where the search's database cannot be used, or already has another study of this name.

    Nothing is written.
    """
    if settings.optuna_storage is None:
        return
    storage = make_storage(settings.folder, settings.optuna_storage)
    own = identity.stored(settings.folder)
    known = set(optuna.get_all_study_names(storage))
    for arm in plan:
        name = study_name(settings, arm.method)
        if arm.searches and name in known:
            try:
                _check(optuna.load_study(study_name=name, storage=storage), settings, own)
            except Foreign as error:
                raise _refusal(settings, error) from None


def claimed_storage(settings: StudySettings, plan: tuple[Arm, ...], study_id: str) -> BaseStorage:
    """The storage of the search, in which every searched arm has an Optuna study with this study's id.

    If the journal in the study's folder belongs to another study, it is renamed. Raises UserError for a
    database that already has another study of this name.
    """
    storage = make_storage(settings.folder, settings.optuna_storage)
    try:
        _claim(storage, settings, plan, study_id)
    except Foreign as error:
        if settings.optuna_storage is not None:
            raise _refusal(settings, error) from None
        journal = settings.folder / identity.SEARCH
        put_aside(journal, f"holds {error}", RETOLD)
        storage = make_storage(settings.folder)
        _claim(storage, settings, plan, study_id)
    return storage


def _claim(storage: BaseStorage, settings: StudySettings, plan: tuple[Arm, ...], study_id: str) -> None:
    for arm in plan:
        if not arm.searches:
            continue
        name, goals = study_name(settings, arm.method), directions(settings.goals)
        try:
            study = optuna.create_study(study_name=name, storage=storage, directions=goals)
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.load_study(study_name=name, storage=storage)
            deadline = time.monotonic() + (PATIENCE_S if settings.optuna_storage else 0)
            while not {ID, SETTINGS} & study.user_attrs.keys() and time.monotonic() < deadline:
                time.sleep(0.2)
            _check(study, settings, study_id, adopts=settings.optuna_storage is None)
        wanted = {_of(ID, settings): study_id, _of(FOLDER, settings): str(settings.folder.resolve())}
        if settings.shard is not None:
            wanted[SETTINGS] = _digest(settings)
        for attribute, value in wanted.items():
            if study.user_attrs.get(attribute) != value:
                study.set_user_attr(attribute, value)


def _of(attribute: str, settings: StudySettings) -> str:
    """The attribute of a whole study, or of this part of it."""
    return attribute if settings.shard is None else f"{attribute} {settings.shard}"


def _digest(settings: StudySettings) -> str:
    """Equal for the parts of one study: of their number, and of the settings that none of them may change."""
    apart = {*OPERATIONAL, "name", "shard", "hyperparameters", "trials", "baseline_trials"}
    flat = {name: value for name, value in dataclasses.asdict(settings).items() if name not in apart}
    return hashlib.sha256(json.dumps([flat, settings.share[1]], sort_keys=True).encode()).hexdigest()[:16]


def _check(
    study: optuna.Study, settings: StudySettings, study_id: str | None, *, adopts: bool = False
) -> None:
    """Raises Foreign where an Optuna study belongs to another study, or to parts of another one.

    adopts: whether an Optuna study with trials but without an id counts as this study's
    """
    said = study.user_attrs.get(_of(ID, settings))
    parts = study.user_attrs.get(SETTINGS)
    of_parts = None if settings.shard is None else _digest(settings)
    n = len(study.get_trials(deepcopy=False))
    if parts == of_parts:
        if said is not None and said == study_id:
            return
        if said is None and (adopts or n == 0 or parts is not None):
            return
    elif parts is None and n == 0 and ID not in study.user_attrs:
        return
    whose = study.user_attrs.get(_of(FOLDER, settings)) or study.user_attrs.get(FOLDER, "unknown origin")
    raise Foreign(f"the search '{study.study_name}' of another study ({n} trials, {whose})")


def _refusal(settings: StudySettings, error: Foreign) -> UserError:
    shown = without_password(settings.optuna_storage or "")
    return UserError(
        f"--optuna-storage {shown} holds {error}: choose another --name, or remove that search with "
        f"optuna delete-study --study-name NAME --storage URL"
    )
