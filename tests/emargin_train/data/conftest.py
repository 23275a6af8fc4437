import pytest

from emargin_train.data import fetch
from tests.emargin_train.data.server import serving


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A server in place of all homes, an empty cache, and waiting that takes no time."""
    with serving() as server:
        monkeypatch.setenv("EMARGIN_MIRROR", server.url)
        monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path / "cache"))
        server.waited = []
        monkeypatch.setattr(fetch, "sleep", server.waited.append)
        yield server
