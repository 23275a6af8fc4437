"""No two modules import each other, directly or through others, not even inside a function."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("emargin_train", "study", "analysis")


def modules(root: Path = ROOT, packages: tuple[str, ...] = PACKAGES) -> dict[str, Path]:
    """File of each module by its dotted name."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules among `known` that a file imports anywhere, imports for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively: name the module in full"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & known.keys() or {node.module}
            if inside - known.keys():
                found.add(node.module)
    return found & known.keys()


def circles(graph: dict[str, set[str]]) -> Iterator[frozenset[str]]:
    """Strongly connected components (Tarjan 1972) of several modules, and modules that import themselves."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> Iterator[frozenset[str]]:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                yield from visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1 or name in graph[name]:
                yield frozenset(component)

    for name in sorted(graph):
        if name not in order:
            yield from visit(name)


def test_no_import_circle():
    known = modules()
    found = list(circles({name: imports(path, known) for name, path in known.items()}))
    assert not found, f"these modules import each other: {[sorted(circle) for circle in found]}"


@pytest.mark.parametrize(
    "a, b, circle",
    [
        ("from p import b", "import p.a", True),
        ("from p.b import x", "def f():\n    from p import a", True),
        (
            "from p.b import x",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import y",
            True,
        ),
        ("from p import b", "import os", False),
    ],
)
def test_the_check_sees_a_circle(tmp_path, a, b, circle):
    (tmp_path / "p").mkdir()
    for name, text in (("__init__", ""), ("a", a), ("b", b)):
        (tmp_path / "p" / f"{name}.py").write_text(text + "\n")
    known = modules(tmp_path, ("p",))
    found = list(circles({name: imports(path, known) for name, path in known.items()}))
    assert found == ([frozenset({"p.a", "p.b"})] if circle else [])
