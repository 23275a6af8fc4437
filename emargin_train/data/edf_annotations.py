"""The annotation channels of EDF+ and BDF+ files: where each data record starts, and all notes.

Format: https://www.edfplus.info/specs/edfplus.html#tal. A note's text may hold any character, ends of lines
too. It should be UTF-8; text that is not is read as Latin-1, which every sequence of bytes is.
"""

import re
from dataclasses import dataclass

from emargin_train.errors import UserError

TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14")


@dataclass(frozen=True)
class Note:
    """One annotation, in seconds since the file's start; `seconds` None = none given."""

    start_s: float
    seconds: float | None
    text: str


def parse(records: list[list[bytes]], where: str) -> tuple[list[float], list[Note]]:
    """Start of each data record in seconds, and the notes in order of time.

    records: for each data record, the bytes of each of its annotation channels
    """
    starts: list[float] = []
    notes: list[Note] = []
    for channels in records:
        for number, content in enumerate(channels):
            for place, one in enumerate(content.rstrip(b"\0").split(b"\x14\0")):
                one = one.lstrip(b"\0") + b"\x14"
                head = TAL.match(one)
                if head is None:
                    if one == b"\x14":
                        continue
                    raise UserError(f"{where} has bytes that are no annotation ({one[:40]!r}): it is damaged")
                start = float(head[1])
                if number == place == 0:
                    starts.append(start)
                seconds = None if head[2] is None else float(head[2])
                for text in one[head.end() :].split(b"\x14"):
                    if text:
                        notes.append(Note(start, seconds, decoded(text)))
    return starts, sorted(notes, key=lambda note: note.start_s)


def decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
