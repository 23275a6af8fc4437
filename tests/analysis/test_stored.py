"""What a report takes from a file, instead of computing it again, is what the computation gives."""

import numpy as np
import vl_convert

from analysis import rendering, shapes


def test_curves_of_shapes_are_those_that_are_computed():
    assert set(shapes.stored()) == {str(k) for k in shapes.STORED}
    for found, expected in zip(shapes.stored()["3"], shapes.computed(3), strict=True):
        assert found[0] == expected[0]
        np.testing.assert_allclose(found[1:], expected[1:], atol=2e-3)


def test_other_numbers_of_clusters_are_computed(monkeypatch):
    monkeypatch.setattr(shapes, "SHAPES", {"segment": shapes.segment})
    assert shapes.reference_curves.__wrapped__(40)["shape"].tolist() == ["segment"]


def test_the_script_of_charts_is_made_once(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda exports: made.append(exports) or "script")
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path / "cache"))
    assert [rendering.bundle(), rendering.bundle()] == ["script", "script"] and len(made) == 1
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path / "file" / "below"))  # cannot be written
    assert rendering.bundle() == "script" and len(made) == 2
