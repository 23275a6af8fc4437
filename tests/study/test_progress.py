"""The progress of a study, in numbers and on the screen."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from study.progress import Progress
from study.summary import Summary

GOALS = ("silhouette", "probe_balanced_accuracy")


def rows(silhouette, accuracy, *, method="emargin", role="searched", status="ok", gate="intended", n=1):
    row = {"method": method, "role": role, "status": status, "gate": gate}
    return [row | {"silhouette": silhouette, "probe_balanced_accuracy": accuracy}] * n


def test_counts_take_the_worst_replicate():
    summary = Summary(GOALS)
    for ended in (rows(0.1, 0.2), rows(0.1, 0.2) + rows(None, None, status="diverged")):
        summary.add(ended)
    summary.add(rows(0.5, 0.5, status="failed") + rows(0.1, 0.2))
    assert summary.counts == {"ok": 1, "diverged": 1, "failed": 1} and summary.done == 3
    assert summary.best == {"emargin": [0.1, 0.2]}


def test_the_best_of_each_goal_is_its_better_end():
    summary = Summary(("silhouette", "davies_bouldin"))
    for silhouette, davies_bouldin in ((0.1, 3.0), (0.4, 2.0), (0.3, 1.0)):
        summary.add([rows(silhouette, None)[0] | {"davies_bouldin": davies_bouldin}])
    assert summary.best == {"emargin": [0.4, 1.0]}
    assert summary.hypervolume == {}  # Davies-Bouldin has no worst end to measure from


def test_the_hypervolume_is_measured_from_the_worst_ends():
    summary = Summary(GOALS)
    summary.add(rows(0.0, 0.5))
    assert summary.hypervolume["emargin"] == pytest.approx(1.0 * 0.5)
    summary.add(rows(-0.5, 1.0))
    assert summary.hypervolume["emargin"] == pytest.approx(1.0 * 0.5 + 0.5 * 0.5)
    summary.add(rows(-0.6, 0.4))  # dominated
    assert summary.hypervolume["emargin"] == pytest.approx(0.75)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_hypervolume_is_the_share_of_points_beaten(points):
    summary = Summary(GOALS)
    areas = []
    for point in points:
        summary.add(rows(*point))
        areas.append(summary.hypervolume["emargin"])
    assert (np.diff(areas) >= -1e-12).all(), "more trials never make it smaller"
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 101), np.linspace(0, 1, 101)), -1).reshape(-1, 2)
    beaten = np.zeros(len(grid), bool)
    for point in points:
        beaten |= (grid <= point).all(axis=1)
    assert areas[-1] == pytest.approx(2 * beaten.mean(), abs=0.1)


def test_controls_and_references_make_no_front():
    summary = Summary(GOALS)
    summary.add(rows(0.9, 0.9, gate="oracle"))
    summary.add(rows(0.3, 0.4, method="raw", role="reference", gate=None))
    assert summary.best == {"raw": [0.3, 0.4]} and summary.hypervolume == {}


def test_metrics_are_named_by_method():
    summary = Summary(GOALS)
    summary.add(rows(0.0, 0.5))
    assert summary.metrics() == {
        "trials_ok": 1.0,
        "trials_diverged": 0.0,
        "trials_failed": 0.0,
        "trials_done": 1.0,
        "emargin/best_silhouette": 0.0,
        "emargin/best_probe_balanced_accuracy": 0.5,
        "emargin/hypervolume": pytest.approx(0.5),
    }


def shown(terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=110, color_system=None)
    with Progress(GOALS, 10, console=console) as progress:
        progress.add("emargin", "emargin-0000", rows(0.2, 0.4), earlier=True)
        progress.running = 2
        progress.add("emargin", "emargin-0001", rows(0.0, 0.5))
        progress.add("emargin", "emargin-0002", rows(None, None, status="diverged"))
        if terminal:
            console.print(progress._display())
    return console.file.getvalue()


def test_elsewhere_than_on_a_terminal_each_trial_is_a_line():
    lines = shown(terminal=False).splitlines()
    assert len(lines) == 2  # what was done earlier is not told again
    assert lines[0].startswith("2/10 emargin-0001: silhouette 0.000, probe_balanced_accuracy 0.500; about ")
    assert lines[1].startswith("3/10 emargin-0002: diverged; about ")


def test_references_say_nothing_about_the_time_that_is_left():
    """They come first and take a moment."""
    shown = io.StringIO()
    progress = Progress(GOALS, 9, console=Console(file=shown, width=100))
    progress.add("raw", "raw", rows(0.1, 0.2, role="reference"))
    assert "left" not in shown.getvalue()
    progress.add("emargin", "emargin-0000", rows(0.1, 0.2))
    assert "left" in shown.getvalue()


def test_a_terminal_has_one_table():
    text = shown(terminal=True)
    assert "3 of 10 trials done (2 ok, 1 diverged) · 2 running · 5 waiting" in text
    assert "a minute" in text and "left" in text
    (row,) = {line for line in text.splitlines() if "emargin" in line and "0.200" in line}
    assert "0.500" in row and "0.580" in row  # 1.2 x 0.4 + 1.0 x 0.1
