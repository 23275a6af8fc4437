"""Every label and subject written in the files of a table, and whether the description's own match them.

An entry of the description that matches nothing is an error if some word is left that the entry may have been
meant for. If no word is left, the class of the entry is simply absent, such as REM in a set of naps.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emargin_train.data import cache, table_labels, versions
from emargin_train.data.columns import read_columns
from emargin_train.data.files import writing
from emargin_train.data.recording import Part
from emargin_train.data.table_paths import Found
from emargin_train.data.table_spec import TableSpec
from emargin_train.errors import UserError, nearest
from emargin_train.files import write_whole

MAX_CLASSES = 200
SHOWN = 30


@dataclass(frozen=True)
class Written:
    """Words of all recordings, each once."""

    labels: tuple[str, ...]
    subjects: tuple[str, ...]  # of a column of subjects; else empty


def written(spec: TableSpec, found: list[Found], root: Path) -> Written:
    """Read once; kept beside the cache until one of the files or the description changes."""
    files = {file: None for own in found for file in files_of(spec, own, root)}
    parts = [Part(lambda: [], files=tuple(files), settings=f"words {versions.READERS['table']}")]
    about = repr((spec.labels, spec.subject_column, spec.signals[0], [own.names for own in found]))
    memo = cache.folder() / "words" / f"{cache.key(cache.content(parts), about)}.json"
    try:
        labels, subjects = json.loads(memo.read_text("utf-8"))
        return Written(tuple(labels), tuple(subjects))
    except (OSError, ValueError):
        pass
    all_labels: dict[str, None] = {}
    all_subjects: dict[str, None] = {}
    for own in found:
        one = _of(spec, own, root)
        all_labels |= dict.fromkeys(one.labels)
        all_subjects |= dict.fromkeys(one.subjects)
    result = Written(tuple(all_labels), tuple(all_subjects))
    with writing(memo.parent, "free space there, or set EMARGIN_CACHE to another folder"):
        write_whole(memo, json.dumps([result.labels, result.subjects]).encode())
    return result


def files_of(spec: TableSpec, own: Found, root: Path) -> tuple[Path, ...]:
    """The files that hold a recording's labels and subjects."""
    first = (own.paths[0],) if spec.labels.source == "column" or spec.subject_column is not None else ()
    return (*first, *table_labels.files(spec.labels, own, root))


def _of(spec: TableSpec, own: Found, root: Path) -> Written:
    """The words of one recording."""
    signal = spec.signals[0]
    label = spec.labels.column if spec.labels.source == "column" else None
    columns = list(dict.fromkeys(c for c in (label, spec.subject_column) if c is not None))
    by_column = {}
    if columns:
        _, words, _ = read_columns(
            own.paths[0], words=columns, text=signal.text, kind=signal.format, variable=signal.variable
        )
        by_column = dict(zip(columns, words, strict=True))
    if label is not None:
        labels = by_column[label].words
    elif spec.labels.source == "none":
        labels = ()
    elif spec.labels.source == "name":
        labels = table_labels.of_name(own).words
    else:
        track = table_labels.from_file(spec.labels, own, root, 1.0)  # the rate moves labels, it makes none
        labels = tuple(track.words[code] for code in dict.fromkeys(track.codes.tolist()) if code >= 0)
    return Written(labels, by_column[spec.subject_column].words if spec.subject_column is not None else ())


def classes(spec: TableSpec, found: Written, *, whole: bool = True) -> tuple[str, ...]:
    """The class names: as listed, else as the map has them, else every label written anywhere, sorted.

    None for recordings without labels.

    whole: whether all recordings were looked at; in some of them, a class may be absent.
    """
    if spec.labels.source == "none":
        return ()
    mapping = spec.labels.map
    known = mapping if mapping is not None else spec.classes
    if known is None and not found.labels:
        raise UserError(
            f"{spec.path}: no recording has a label: check [labels], or leave it out where there are none"
        )
    if known is not None and (whole or not set(known) & set(found.labels)):
        where = "labels.map" if mapping is not None else "classes"
        refuse_unmatched(spec.path, where, known, found.labels)
    if spec.classes is not None:
        return spec.classes
    if mapping is not None:
        return tuple(dict.fromkeys(mapping.values()))
    if len(found.labels) > MAX_CLASSES:
        raise UserError(
            f"{spec.path}: the labels have over {MAX_CLASSES} different values, like '{min(found.labels)}': "
            "these are not classes; name another column or give labels.map"
        )
    return tuple(sorted(found.labels))


def refuse_unmatched(path: Path, where: str, given: Iterable[str], found: Iterable[str]) -> None:
    """UserError for an entry that matches nothing, if some word is left that no entry matches."""
    given, found = list(given), list(found)
    left = sorted(set(found) - set(given))
    unmatched = [one for one in given if one not in found]
    if unmatched and left:
        shown = ", ".join(sorted(found)[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
        close = nearest(unmatched[0], left).partition("known: ")[0]
        raise UserError(
            f"{path}: {where} has '{unmatched[0]}', which matches nothing ({close}found: {shown}): write "
            "it as in the files, or leave it out"
        )


def check_same(spec: TableSpec, subjects: Iterable[str]) -> None:
    """Every name in [subject] same has to be somebody's, or two names of one person stay apart."""
    subjects = list(dict.fromkeys(subjects))
    for group in spec.same_subject:
        refuse_unmatched(spec.path, "subject.same", group, subjects)
