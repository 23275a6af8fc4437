"""Studies from Python: `study.run(...)` with the flags of the command line as arguments, and their results.

The calling process is never ended, and its signal handlers stay as they are. In a notebook, the stop button
stops the study properly; the same call resumes it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from analysis import pareto, pareto_charts, tables
from analysis import report as reports
from emargin_train.errors import UserError
from emargin_train.program import SCRIPT
from study.command_line import build_parser, flags_of, resumed_settings, settings_of
from study.run_study import StudyOutcome, run_study


@dataclass(frozen=True)
class Results:
    """The results of a study in a folder, such as runs/NAME.

    outcome: how this call of `run` ended; None for results that were only read
    """

    folder: Path
    outcome: StudyOutcome | None = None

    @property
    def table(self) -> tables.Study:
        """All that the study exported: rows, what is known of each column, settings, manifest."""
        return tables.load(self.folder)

    @property
    def rows(self) -> pd.DataFrame:
        """One row for each replicate of each trial."""
        return self.table.rows

    def trials(self, *metrics: str) -> pd.DataFrame:
        """One row for each trial: its setting, and the mean over replicates of each metric.

        metrics: by default the goals of the study; `<metric>_low` and `<metric>_high` are a 95 % interval
        Raises analysis.errors.UserError for an unknown metric.
        """
        study = self.table
        return tables.per_trial(study, metrics or [one.name for one in pareto.goals(study)])

    def front(self, x: str | None = None, y: str | None = None) -> Any:
        """A chart (altair) of two metrics, by default the goals: all trials, and the best trade-offs."""
        study = self.table
        a, b = pareto.goals(study, x, y)
        trials = pareto.trade_off(study, a, b)
        trials["setting"] = tables.settings_text(study, trials)
        panels = pareto_charts.front_figure(study, trials, a, b).charts
        return alt.vconcat(*(chart.properties(title=title) for title, chart in panels.items()))

    def report(self) -> Path:
        """Write the report, and return the path of its page."""
        return reports.build(self.folder)


def read(folder: Path | str) -> Results:
    """The results of a study that has run. Raises analysis.errors.UserError where the folder has none."""
    results = Results(Path(folder))
    results.table  # noqa: B018  what cannot be read is refused now
    return results


def run(dataset: str | None = None, **flags: Any) -> Results:
    """Run a study, or resume the one that the same arguments began.

    flags: those of `python -m study.run` with underscores, as `trials=8, seeds=[0, 1], threshold="0.2:0.9"`;
        a list is a choice of values, a text A:B a range; one with a dot is given as `**{"dilated.depth": 4}`
    Raises UserError for an impossible setting, StudyEnded where Ray or a disk failed.
    """
    for name in set(flags) & {"dry_run", "help", "version"}:
        raise UserError(
            f"{name} prints text, and is for the command alone: {SCRIPT} run --{name.replace('_', '-')}"
        )
    args = build_parser().parse_args(words(({} if dataset is None else {"dataset": dataset}) | flags))
    settings = resumed_settings(Path(args.resume), flags_of(args)) if args.resume else settings_of(args)
    retry, quiet = args.retry == "failed", args.quiet
    outcome = run_study(settings, extend=args.extend, retry_failed=retry, quiet=quiet, report=True)
    return Results(settings.folder, outcome)


def words(flags: dict[str, Any]) -> list[str]:
    """Arguments as the words of a command line; None and False are left out."""
    found = []
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            found.append(flag)
        elif isinstance(value, list | tuple | range):
            found.append(f"{flag}={','.join(map(str, value))}")
        elif value is not None and value is not False:
            found.append(f"{flag}={value}")
    return found
