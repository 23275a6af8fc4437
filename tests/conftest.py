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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which files take longest: the suite has 35 minutes on two cores."""
    seconds: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                file = report.nodeid.partition("::")[0]
                seconds[file] = seconds.get(file, 0.0) + report.duration
    if len(seconds) < 2:
        return
    terminalreporter.section("slowest files")
    for file, time in sorted(seconds.items(), key=lambda one: -one[1])[:25]:
        terminalreporter.line(f"{time:7.1f} s  {file}")
    terminalreporter.line(f"{sum(seconds.values()):7.1f} s  all {len(seconds)} files")
