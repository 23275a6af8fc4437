"""Archives that are refused: by the command, downloaded, and leaving nothing."""

import io
import re
import stat
import struct
import zipfile

import pytest

from emargin_train.data import unpack
from emargin_train.errors import UserError
from tests.emargin_train.data.made import left, refused, zipped
from tests.emargin_train.data.server import HARTH


def link(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return file.getvalue()


def understated() -> bytes:
    """An entry that unpacks to a megabyte while the directory claims ten bytes."""
    content = bytearray(zipped({"S006.csv": "0" * 1_000_000}))
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 10)
    return bytes(content)


def flagged() -> bytes:
    content = bytearray(zipped({"S006.csv": "0"}))
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


ARCHIVES = {
    "above": (lambda: zipped({"../S006.csv": "x"}), "leads outside"),
    "deep above": (lambda: zipped({"harth/../../S006.csv": "x"}), "leads outside"),
    "absolute": (lambda: zipped({"/etc/S006.csv": "x"}), "leads outside"),
    "windows": (lambda: zipped({"..\\S006.csv": "x", "C:/S006.csv": "x"}), "leads outside"),
    "beside a good one": (lambda: zipped({"S006.csv": "x", "../evil.txt": "x"}), "leads outside"),
    "link": (lambda: link("S006.csv"), "has a link"),
    "bomb": (lambda: zipped({"S006.csv": "0" * 50_000_000}), "would grow"),
    "understated": (understated, "cannot be read as a zip archive|longer than it claims"),
    "encrypted": (flagged, "is encrypted"),
    "two of one name": (lambda: zipped({"a/S006.csv": "x", "b/S006.csv": "x"}), "two files of one name"),
    "nothing of use": (lambda: zipped({"README": "x"}), "has no file ending in .csv"),
    "cut": (lambda: zipped({"S006.csv": "x" * 1000})[:-30], "cannot be read as a zip archive"),
    "damaged": (
        lambda: zipped({"S006.csv": "".join(map(str, range(9999)))}).replace(b"9", b"8"),
        "cannot be read as a zip",
    ),
    "no zip": (lambda: b"hello", "cannot be read as a zip archive"),
    "empty": (lambda: b"", "cannot be read as a zip archive"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_refused_by_the_command_leave_nothing(home, tmp_path, capsys, kind):
    make, said = ARCHIVES[kind]
    home.files[HARTH] = make()
    message = refused(capsys, "download", "harth", "--to", tmp_path / "in" / "d")
    assert re.search(said, message), message
    assert left(tmp_path / "in") == [] and not list(tmp_path.rglob("*evil*"))
    assert left(tmp_path / "cache") == [], "what was refused is not trusted either"
    assert not (tmp_path / "in" / "d").exists()


def test_an_archive_of_too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "MAX_ENTRIES", 2)
    (tmp_path / "a.zip").write_bytes(zipped({"a.csv": "", "b.csv": "", "c.csv": ""}))
    with pytest.raises(UserError, match="has 3 entries"):
        unpack.unpack(tmp_path / "a.zip", tmp_path / "d", (".csv",))
