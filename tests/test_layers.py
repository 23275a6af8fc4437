"""Which package may import which, checked in fresh interpreters."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ALL_OF = """
import importlib, pkgutil, sys
from importlib.util import find_spec
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    needs_triton = module.name.endswith("_triton") and find_spec("triton") is None
    if not module.name.endswith("__main__") and not needs_triton:
        importlib.import_module(module.name)
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules_loaded_by_importing_all_of(package: str) -> set[str]:
    ran = subprocess.run((sys.executable, "-c", ALL_OF, package), capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    "package, strangers",
    [
        ("emargin_train", {"ray", "optuna", "mlflow", "study", "analysis"}),
        ("analysis", {"ray", "torch", "mlflow", "study", "emargin_train"}),
    ],
)
def test_package_keeps_to_its_layer(package, strangers):
    loaded = modules_loaded_by_importing_all_of(package)
    assert package in loaded
    assert not strangers & loaded


def test_the_check_sees_a_stranger():
    assert {"ray", "mlflow", "optuna"} <= modules_loaded_by_importing_all_of("study")


ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"ray": "study/cluster", "optuna": "study/search", "mlflow": "study/tracking"}
# Optuna's distributions follow from the search space, which is declared here.
ELSEWHERE = {("optuna", "study/space.py")}


@pytest.mark.parametrize("library, room", ROOMS.items())
def test_a_library_of_the_study_is_used_in_its_room_alone(library, room):
    found = set()
    for path in sorted((ROOT / "study").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] == library for name in names):
                found.add(path.relative_to(ROOT).as_posix())
    outside = {(library, path) for path in found if not path.startswith(f"{room}/")}
    assert any(path.startswith(f"{room}/") for path in found)
    assert outside == {(name, path) for name, path in ELSEWHERE if name == library}


def test_ray_is_private_in_one_file():
    private = re.compile(r"^(?:from|import) ray\.(?:\w+\.)*_\w+|ray\.tune\.execution|ray\._", re.MULTILINE)
    users = {path.name for path in (ROOT / "study").rglob("*.py") if private.search(path.read_text())}
    assert users == {"ray_private.py"}
