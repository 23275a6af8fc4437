"""The report: one file that opens without a network, says what happened and never shows an empty chart."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import report
from tests.analysis import synthetic


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = synthetic.write(tmp_path_factory.mktemp("runs") / "searched", synthetic.rows())
    return report.build(folder)


def test_page_refers_to_nothing_outside(built: Path) -> None:
    page = built.read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?https?:", page)
    assert "@import" not in page and "url(http" not in page


def test_every_chart_has_its_files_and_numbers(built: Path) -> None:
    page = built.read_text(encoding="utf-8")
    stems = re.findall(r'data-spec="([\w-]+)-spec"', page)
    assert "pareto" in stems and any(stem.startswith("settings-threshold") for stem in stems)
    for stem in stems:
        assert (built.parent / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        assert (built.parent / f"{stem}.svg").read_text().lstrip().startswith("<svg")
    for name in re.findall(r'data-name="([\w-]+\.csv)"', page):
        assert len(pd.read_csv(built.parent / name)) > 0


def test_first_screen_says_simulated_and_counts_every_fate(built: Path) -> None:
    table = synthetic.rows()
    header = built.read_text(encoding="utf-8").split("<header>")[1].split("</header>")[0]
    assert "simulated" in header
    for status, word in (("ok", "ended well"), ("diverged", "diverged"), ("failed", "failed")):
        n = (table["status"] == status).sum()
        assert n > 0 and f"<dt>{word}</dt><dd>{n}</dd>" in header


@pytest.mark.browser
@pytest.mark.parametrize("scheme, width", [("light", 1200), ("dark", 1200), ("light", 360)])
def test_opens_offline_without_error_or_request(built: Path, chromium: Any, scheme: str, width: int) -> None:
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda r: None if r.url == built.as_uri() else troubles.append(r.url[:80]))
    page.goto(built.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn === 'all'")
    assert troubles == []
    assert page.locator(".chart svg, .chart canvas").count() == page.locator(".chart").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


@pytest.mark.browser
def test_hover_shows_the_setting_and_table_can_be_saved(built: Path, chromium: Any, tmp_path: Path) -> None:
    page = chromium.new_page()
    page.goto(built.as_uri())
    point = page.locator('#figure-pareto path[aria-roledescription="point"]').first
    point.wait_for()
    point.hover(force=True)
    page.locator("#vg-tooltip-element.visible", has_text="replicates with results").wait_for()

    details = page.locator('details[data-name="pareto.csv"]')
    details.locator("summary").press("Enter")  # by keyboard
    details.locator("tbody tr").first.wait_for()
    heads = details.locator("th")
    (at,) = [i for i, text in enumerate(heads.all_inner_texts()) if text.strip() == "Silhouette"]
    heads.nth(at).locator("button").click()
    cells = details.locator(f"tbody tr td:nth-child({at + 1})").all_inner_texts()
    shown = [float(text.split()[0]) for text in cells]  # the interval stands below
    assert shown == sorted(shown) and sum(" to " in text for text in cells) > len(cells) / 2
    with page.expect_download() as download:
        details.get_by_role("button", name="Save as CSV").click()
    saved = tmp_path / "saved.csv"
    download.value.save_as(saved)
    whole = pd.read_csv(built.parent / "pareto.csv")
    assert download.value.suggested_filename == "pareto.csv"
    assert list(pd.read_csv(saved)["trial"]) == list(whole["trial"])
    page.close()


@pytest.mark.slow
def test_thousand_trials_stay_within_bounds(tmp_path: Path) -> None:
    """1,000 trials of 5 seeds: page, memory and work (two processes share it, so wall time is about half)."""
    rows = synthetic.rows(trials=650, baseline_trials=345, seeds=5)
    folder = synthetic.write(tmp_path / "many", rows)
    assert rows["trial"].nunique() == 1000
    # VmHWM, as ru_maxrss of a fresh process still holds the peak of the one that started it.
    code = (
        "import re, resource, sys; from analysis import report; report.build(sys.argv[1]);"
        "own, children = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN));"
        "peak = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]);"
        "print(own.ru_utime + children.ru_utime, peak + children.ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    seconds, kilobytes = map(float, done.stdout.split())
    assert kilobytes < 1e6
    assert seconds < 60  # 23 on the machine this was written on; a shared one may take twice that
    assert (folder / "report" / "index.html").stat().st_size < 6e6
