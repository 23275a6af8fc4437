"""Who may import whom, in fresh interpreters."""

import subprocess
import sys

import pytest

ALL_OF = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
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
