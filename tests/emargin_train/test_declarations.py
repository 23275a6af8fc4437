"""What is declared can be read without the libraries, and is the same as with them."""

import subprocess
import sys

import pytest

from emargin_train.declarations import declarations, stand_ins
from emargin_train.settings import declared

HEAVY = ("torch", "ray", "mlflow", "optuna", "scipy", "sklearn", "pandas", "numpy", "pyarrow")
FACTS = ("name", "title", "role", "order", "needs_labels", "uses_encoder", "fixed_scale", "is_random")


def in_a_fresh_interpreter(code: str) -> str:
    ran = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


SAME = """
import importlib, sys
from emargin_train import declarations as module
from emargin_train.settings import declared
with module.stand_ins():
    read = module._read()
assert "torch" not in sys.modules
assert not any(name.startswith("emargin_train.methods") for name in sys.modules)
import torch
real = module._read()
assert all(issubclass(one, torch.nn.Module) for one in real.methods.values())
def facts(one):
    settings = [declared(kind) for kind in (one.Settings, getattr(one, "Training", None)) if kind is not None]
    return settings, {name: getattr(one, name, None) for name in FACTS}
for table in ("methods", "encoders"):
    mine, theirs = getattr(read, table), getattr(real, table)
    assert list(mine) == list(theirs)
    for name in theirs:
        assert facts(mine[name]) == facts(theirs[name]), name
        assert mine[name] is not theirs[name]
def about(metrics):
    return {name: vars(one) | {"compute": None} for name, one in metrics.items()}
assert about(read.metrics) == about(real.metrics)
print(len(real.methods), len(real.encoders), len(real.metrics))
"""


def test_what_is_read_without_the_libraries_is_what_the_classes_declare():
    code = SAME.replace("FACTS", repr(FACTS))
    counts = [int(word) for word in in_a_fresh_interpreter(code).split()]
    known = declarations()
    assert counts == [len(known.methods), len(known.encoders), len(known.metrics)]


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_and_version_load_no_heavy_library(words):
    code = f"""
import runpy, sys
sys.argv = ["run", *{words!r}]
try:
    runpy.run_module("study.run", run_name="__main__")
except SystemExit as end:
    assert end.code == 0, end.code
loaded = {{name.partition(".")[0] for name in sys.modules}} & set({HEAVY!r})
assert not loaded, loaded
"""
    assert in_a_fresh_interpreter(code)


def test_importing_the_package_loads_no_heavy_library():
    code = f"import sys, emargin_train; assert not set({HEAVY!r}) & set(sys.modules)"
    in_a_fresh_interpreter(code)


def test_a_declaration_that_needs_a_library_is_read_with_it(tmp_path):
    """A stand-in in a declaration is noticed, and the file is imported as usual."""
    (tmp_path / "odd.py").write_text(
        "import torch, sys\n"
        "import emargin_train.methods.raw as raw\n"
        "from emargin_train.settings import Settings, hyperparameter\n"
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class OddSettings(Settings, prefix='odd'):\n"
        "    eps: float = hyperparameter(0.1, 'A number.', low=torch.finfo(torch.float32).eps)\n"
        "class Odd(raw.Raw):\n"
        "    name = 'odd'\n"
        "    Settings = OddSettings\n"
    )
    code = f"""
import emargin_train.settings, pkgutil, sys
sys.path.insert(0, {str(tmp_path)!r})
from emargin_train import discovery
listed = discovery.named_classes
def with_odd(package, path, base):
    found = listed(package, path, base)
    if package.endswith("methods"):
        import importlib.util
        file = {str(tmp_path / "odd.py")!r}
        spec = importlib.util.spec_from_file_location("emargin_train.methods.odd", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found["odd"] = module.Odd
    return found
discovery.named_classes = with_odd
from emargin_train.declarations import declarations
low = declarations().methods["odd"].Settings.__dataclass_fields__["eps"].metadata["setting"]["low"]
import torch
assert low == torch.finfo(torch.float32).eps, low
"""
    in_a_fresh_interpreter(code)


def test_a_stand_in_is_neither_true_nor_false():
    """A check of a value that a library computes would otherwise always pass, or never."""
    with stand_ins():
        import emargin_train_has_no_such_library as absent

    questions = (
        lambda: absent.any([1.0]) or True,
        lambda: absent.log2(3) < 1,
        lambda: absent.floor(2.0) != 2.0,
        lambda: 2.0 == absent.floor(2.0),
        lambda: f"{absent.pi}",
    )
    for ask in questions:
        with pytest.raises(TypeError):
            ask()


CHECKED_BY_NUMPY = """
import emargin_train.settings, importlib.util, sys
from emargin_train import discovery
listed = discovery.named_classes
def with_odd(package, path, base):
    found = listed(package, path, base)
    if package.endswith("methods"):
        spec = importlib.util.spec_from_file_location("emargin_train.methods.odd", sys.argv[1])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found["odd"] = module.Odd
    return found
discovery.named_classes = with_odd
from emargin_train.errors import UserError
from study.trial_spec import Replicate, TrialSpec
for width in (8.0, 8.5):
    settings = {"dataset": "sleepeeg-sim", "method": "odd", "encoder": "projector", "odd.width": width}
    said = []
    for check in ("check", "config"):
        one = TrialSpec("t", "t", "searched", "odd", settings, (Replicate(0, 0),))
        try:
            getattr(one, check)(Replicate(0, 0))
            said.append("accepted")
        except UserError as error:
            said.append(str(error))
    assert said[0] == said[1], said
    print(said[0])
"""


def test_a_value_that_a_library_checks_is_checked_with_it(tmp_path):
    (tmp_path / "odd.py").write_text(
        "import numpy as np\n"
        "import emargin_train.methods.raw as raw\n"
        "from emargin_train.errors import UserError\n"
        "from emargin_train.settings import Settings, hyperparameter\n"
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class OddSettings(Settings, prefix='odd'):\n"
        "    width: float = hyperparameter(8.0, 'A number.')\n"
        "    def __post_init__(self):\n"
        "        super().__post_init__()\n"
        "        if np.floor(self.width) != self.width:\n"
        "            raise UserError(f'odd.width is {self.width}, but must be whole')\n"
        "class Odd(raw.Raw):\n"
        "    name = 'odd'\n"
        "    Settings = OddSettings\n"
    )
    ran = subprocess.run(
        (sys.executable, "-c", CHECKED_BY_NUMPY, str(tmp_path / "odd.py")), capture_output=True, text=True
    )
    assert ran.stdout.splitlines() == ["accepted", "odd.width is 8.5, but must be whole"], ran.stderr


def test_what_a_study_needs_before_its_cluster_starts_loads_no_pytorch(tmp_path):
    """Nor Tune, pandas or MLflow: each takes a second or so, for which Ray's start would wait."""
    heavy = ("torch", "ray.tune", "pandas", "mlflow", "sklearn", "scipy.stats")
    code = f"""
import sys
from study import plan, run_study
from study.settings import StudySettings
from emargin_train.data import load
asked = StudySettings(dataset="sleepeeg-sim", name="some", out={str(tmp_path)!r}, address="local")
settings, study_plan, _ = run_study.checked(asked, None)
plan.first_data(settings, study_plan)
"""
    in_a_fresh_interpreter(code + f"assert not set({heavy!r}) & set(sys.modules)")


def test_stand_ins_leave_nothing_behind():
    before = dict(sys.modules)
    with stand_ins():
        import emargin_train_has_no_such_library.part as absent

        assert absent.anything(1)[2] + 1 is not None
    assert sys.modules == before
    assert declared(declarations().methods["emargin"].Settings)
