"""Plain texts of the code (docstrings, help lines) as Markdown."""

import re
from collections.abc import Iterable, Sequence

# How a line of a docstring begins that explains an argument, and one that begins a paragraph of its own.
NAMED = re.compile(r"[\w.*`]+(?:,? [\w.*`]+){0,3}: ")
OWN_PARAGRAPH = ("Returns ", "Raises ", "Memory: ", "Attributes: ")
CODE = re.compile(r"(`[^`]*`)")


def plain(text: str) -> str:
    """A text in which Markdown changes nothing, except that `code` stays code."""
    parts = CODE.split(" ".join(text.split()))
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_\[\]|])", r"\\\1", text).replace("<", "&lt;").replace(">", "&gt;")


def code(text: object) -> str:
    return f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def docstring(text: str | None) -> str:
    """A docstring as paragraphs, indented equations or code, and a list of the arguments that it explains."""
    found: list[str] = []
    first, *parts = re.split(r"\n\s*\n", (text or "").strip("\n"))
    for part in parts:
        lines = part.splitlines()
        if all(line.startswith("    ") for line in lines):
            found.append(part)
            continue
        starts = [i for i, line in enumerate(lines) if i == 0 or _begins(line)]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            _add("\n".join(lines[start:end]), found)
    return "\n\n".join([plain(first), *found])


def _begins(line: str) -> bool:
    return bool(NAMED.match(line)) or line.startswith(OWN_PARAGRAPH)


def _add(text: str, found: list[str]) -> None:
    """A line `name: what it is` becomes an item of a list, any other text a paragraph."""
    named = NAMED.match(text)
    if named is None or text.startswith(OWN_PARAGRAPH):
        found.append(plain(text))
        return
    item = f"- {code(named.group().removesuffix(': ').replace('`', ''))}: {plain(text[named.end() :])}"
    if found and found[-1].startswith("- "):
        found[-1] += "\n" + item
    else:
        found.append(item)
