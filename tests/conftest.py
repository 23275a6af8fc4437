"""What all tests share: where the real recordings are, and one thread per process."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(os.environ.get("EMARGIN_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with `data` (real recordings) and `golden` (numbers of the released code)."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"no shared folder at {SHARED}: set EMARGIN_SHARED to one with data/ and golden/")
    return SHARED


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests never read or fill the user's cache of frames."""
    os.environ["EMARGIN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tests may change PyTorch's number of threads, which decides the last digits of the tests after them."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
