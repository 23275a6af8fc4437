"""Classes are found because their file is in a folder, and are known by their `name`."""

from pathlib import Path

import pytest

from emargin_train.discovery import named_classes
from emargin_train.encoders import ENCODERS, find_encoder
from emargin_train.encoders.base import Encoder
from emargin_train.errors import UserError
from emargin_train.methods import METHODS, find_method
from emargin_train.methods.base import Method

BASE = """\
class Base:
    order = 1
"""


def package(
    folder: Path, name: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, type]:
    (folder / name).mkdir()
    for file, text in {"__init__": "", "base": BASE, **files}.items():
        (folder / name / f"{file}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    base = __import__(f"{name}.base", fromlist=["Base"]).Base
    return named_classes(name, [str(folder / name)], base)


def test_a_file_in_the_folder_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared parents have no name, an import is not a second class, and `order` comes before the name."""
    files = {
        "shared": "from found_1.base import Base\nclass Shared(Base):\n    pass\n",
        "b": "from found_1.shared import Shared\nclass B(Shared):\n    name = 'b'\n",
        "a": "from found_1.b import B\nclass A(B):\n    name = 'a'\nclass Nameless(A):\n    pass\n",
        "first": "from found_1.base import Base\nclass First(Base):\n    name, order = 'z', 0\n",
        "other": "class Other:\n    name = 'other'\n",
    }
    found = package(tmp_path, "found_1", files, monkeypatch)
    assert {name: kind.__name__ for name, kind in found.items()} == {"z": "First", "a": "A", "b": "B"}
    assert list(found) == ["z", "a", "b"]


def test_two_classes_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from found_2.base import Base\nclass {}(Base):\n    name = 'same'\n"
    with pytest.raises(ValueError, match="One.*Two.*are both named 'same'"):
        package(tmp_path, "found_2", {"one": text.format("One"), "two": text.format("Two")}, monkeypatch)


def test_every_method_and_encoder_says_who_it_is() -> None:
    for known, base in ((METHODS, Method), (ENCODERS, Encoder)):
        assert known
        for name, kind in known.items():
            assert kind.name == name and issubclass(kind, base) and kind.title
    assert len({kind.title for kind in METHODS.values()}) == len(METHODS)
    assert next(iter(METHODS)) == "emargin" and next(iter(ENCODERS)) == "projector"
    for kind in METHODS.values():
        assert kind.description and kind.role in ("method", "upper bound", "reference")
        assert (kind.Training is None) == (kind.role == "reference")


@pytest.mark.parametrize(
    "find, name, message",
    [
        (find_method, "emargn", "method is 'emargn': did you mean 'emargin'?"),
        (find_encoder, "dilate", "encoder is 'dilate': did you mean 'dilated'?"),
    ],
)
def test_an_unknown_name_is_refused(find: object, name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        find(name)  # type: ignore[operator]
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
