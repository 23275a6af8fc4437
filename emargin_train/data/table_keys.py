"""One table of a TOML file, its keys handed out with their types checked."""

from pathlib import Path
from typing import Any, NoReturn

from emargin_train.errors import UserError, nearest


class Keys:
    """One table of the TOML: hands out its keys, then refuses those that nobody asked for."""

    def __init__(self, raw: Any, where: str, path: Path) -> None:
        self.where, self.path = where, path
        if not isinstance(raw, dict):
            self.refuse("", raw, "a table of keys")
        self.raw, self.asked = raw, set[str]()

    def refuse(self, key: str, value: object, wanted: str) -> NoReturn:
        name = ".".join(part for part in (self.where, key) if part)
        raise UserError(f"{self.path}: {name} is {str(value)[:80]!r}, but must be {wanted}")

    def has(self, key: str) -> bool:
        self.asked.add(key)
        return key in self.raw

    def take(self, key: str, kind: type | tuple[type, ...], wanted: str, default: Any = ...) -> Any:
        if not self.has(key):
            if default is ...:
                name = ".".join(part for part in (self.where, key) if part)
                raise UserError(f"{self.path}: {name} is missing: give {wanted}")
            return default
        value = self.raw[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.refuse(key, value, wanted)
        return value

    def text(self, key: str, wanted: str, default: Any = ...) -> Any:
        value = self.take(key, str, wanted, default)
        if value == "" and default != "":
            self.refuse(key, value, wanted)
        return value

    def number(self, key: str, wanted: str, default: Any = ...) -> Any:
        """Above 0 and below 1e9."""
        value = self.take(key, (int, float), wanted, default)
        if isinstance(value, int | float) and not 0 < value < 1e9:
            self.refuse(key, value, f"{wanted}, above 0")
        return value

    def count(self, key: str, wanted: str, low: int, default: Any = ...) -> Any:
        value = self.take(key, int, wanted, default)
        if isinstance(value, int) and not low <= value <= 100_000_000:
            self.refuse(key, value, f"{wanted}, at least {low}")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: Any = ...) -> Any:
        value = self.text(key, f"one of {', '.join(known)}", default)
        if value not in known and value != default:
            raise UserError(f"{self.path}: {self.where}.{key} is '{value}': {nearest(value, known)}")
        return value

    def column(self, key: str, default: Any = ...) -> Any:
        value = self.take(key, (str, int), "a column's name, or its position counted from 1", default)
        if isinstance(value, int) and value < 1:
            self.refuse(key, value, "a position counted from 1")
        return value

    def texts(self, key: str, wanted: str, default: Any = ...) -> Any:
        values = self.take(key, list, wanted, default)
        if not isinstance(values, list):
            return values
        if not values or not all(isinstance(v, str) and v for v in values) or len(set(values)) < len(values):
            self.refuse(key, values, wanted)
        return tuple(values)

    def done(self) -> None:
        for key in self.raw:
            if key not in self.asked:
                name = ".".join(part for part in (self.where, key) if part)
                raise UserError(f"{self.path}: {name} is not a key: {nearest(key, self.asked)}")
