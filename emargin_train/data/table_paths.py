"""File patterns with named places: `{subject}/run{run}.csv` finds files and names what it found.

A place `{name}` stands for any text without a slash, `{name:2}` for two characters of it; a name used twice
stands for the same text. `*`, `?` and `**/` are as in a shell.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from emargin_train.errors import UserError

PLACE = re.compile(r"\{(\w+)(?::(\d))?\}")
MAX_FILES = 100_000


@dataclass(frozen=True)
class Found:
    """One recording's files: `names` of the places, in their order, and one path for each signal."""

    names: dict[str, str]
    paths: tuple[Path, ...]

    @property
    def record(self) -> str:
        """The named places joined; for a pattern without any, the file's stem."""
        return "-".join(self.names.values()) or self.paths[0].stem


def find(patterns: tuple[str, ...], root: Path) -> list[Found]:
    """Files of the first pattern, in order, each with its partners by the other patterns."""
    root = existing(root)
    first, others = patterns[0], patterns[1:]
    try:
        regex = re.compile(_regex(first))
    except re.error as error:
        raise UserError(f"'{first}' is not a pattern of files ({error})") from None
    found = []
    for path in _glob(_fill(first, {}), root):
        match = regex.fullmatch(path.relative_to(root).as_posix())
        if match is not None:
            names = match.groupdict()
            found.append(Found(names, (path, *(partner(p, names, root) for p in others))))
    if not found:
        raise UserError(f"no file under {root} matches '{first}': check --data-dir and the pattern")
    records = [f.record for f in found]
    for record in records:
        if records.count(record) > 1:
            twice = [str(f.paths[0]) for f in found if f.record == record][:2]
            raise UserError(
                f"{twice[0]} and {twice[1]} would both be record '{record}': name the part that differs, "
                f"like {{run}}, in '{first}'"
            )
    return found


def partner(pattern: str, names: dict[str, str], root: Path) -> Path:
    """The one file that belongs to the recording so named."""
    known(pattern, names)
    matches = _glob(_fill(pattern, names), existing(root))
    if len(matches) != 1:
        what = "no file" if not matches else f"{len(matches)} files"
        raise UserError(
            f"{what} under {root} for '{_fill(pattern, names)}': each recording needs exactly one"
        )
    return matches[0]


def known(pattern: str, names: dict[str, str]) -> None:
    """Refuse places that the first signal's files do not name."""
    unknown = [name for name, _ in PLACE.findall(pattern) if name not in names]
    if unknown:
        raise UserError(
            f"'{pattern}' uses {{{unknown[0]}}}, but the first signal's files name only {sorted(names)}"
        )


def filled(text: str, names: dict[str, str]) -> str:
    """The text with a recording's own names in its places."""
    known(text, names)
    return PLACE.sub(lambda match: names[match[1]], text)


def existing(root: Path) -> Path:
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the one that holds the files as --data-dir")
    return root.resolve()


def _glob(pattern: str, root: Path) -> list[Path]:
    """Files under `root`, by name; never outside it, not even through a link."""
    parts = Path(pattern).parts
    if Path(pattern).is_absolute() or ".." in parts or not parts:
        raise UserError(f"'{pattern}' leaves the data folder: give it relative to --data-dir, without '..'")
    if any("**" in part and part != "**" for part in parts):  # Python 3.13 would read it as one *
        raise UserError(f"'{pattern}' is not a pattern of files (** must be a folder's whole name)")
    try:
        matches = sorted(p for p in root.glob(pattern) if p.is_file())
    except (ValueError, OSError, NotImplementedError, re.error) as error:
        raise UserError(f"'{pattern}' is not a pattern of files ({error})") from None
    if len(matches) > MAX_FILES:
        raise UserError(f"'{pattern}' matches over {MAX_FILES:,} files under {root}: narrow it")
    for path in matches:
        if not path.resolve().is_relative_to(root):
            raise UserError(
                f"{path} links to {path.resolve()}, outside {root}: give the real folder as --data-dir"
            )
    return matches


def _fill(pattern: str, names: dict[str, str]) -> str:
    """The pattern as a glob: known places as they are, the others as wildcards."""

    def place(match: re.Match[str]) -> str:
        name, width = match.groups()
        if name in names:
            return re.sub(r"([*?\[])", r"[\1]", names[name])
        return "?" * int(width) if width else "*"

    return PLACE.sub(place, pattern)


def _regex(pattern: str) -> str:
    out, seen, at = "", set[str](), 0
    token = re.compile(PLACE.pattern + r"|\*\*/|\*|\?|\[[^\]/]*\]")
    for match in token.finditer(pattern):
        out += re.escape(pattern[at : match.start()])
        at = match.end()
        name, width = match.groups()
        text = match.group()
        if name in seen:
            out += f"(?P={name})"
        elif name is not None:
            seen.add(name)
            out += f"(?P<{name}>[^/]{{{width}}})" if width else f"(?P<{name}>[^/]+)"
        elif text[0] == "[":
            out += "[" + text[1:-1].replace("\\", "\\\\").replace("!", "^", text[1] == "!") + "]"
        else:
            out += {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}[text]
    return out + re.escape(pattern[at:])
