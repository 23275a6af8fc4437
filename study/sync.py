"""Export the runs of a study that MLflow lacks, from the study's records; doing it twice changes nothing.

python -m study.sync runs/NAME                                   # to the study's own server or database
python -m study.sync runs/NAME --tracking-uri http://HOST:5000   # to another one; a copied folder works too
"""

import contextlib
import sys
from pathlib import Path

from emargin_train.data.catalogue import find
from emargin_train.errors import exit_on_user_error
from emargin_train.program import Parser
from study import identity, plan, records, results
from study.ownership import owned
from study.secrets import without_password
from study.settings import StudySettings
from study.summary import Summary
from study.tracking.tracker import Tracker
from study.tracking.uri import check_answers, resolve

PATIENCE_S = 60.0


def sync(folder: Path, tracking_uri: str | None = None) -> tuple[int, int]:
    """Export the runs; returns the number of records, and of runs that could not be exported.

    Raises UserError where the folder holds no study, and where the server does not answer or MLflow refuses
    the database.
    """
    settings = results.stored_settings(folder)
    with owned(folder):
        identity.open_study(folder)
        return _sync(folder, settings, tracking_uri)


def _sync(folder: Path, settings: StudySettings, tracking_uri: str | None) -> tuple[int, int]:
    uri = resolve(tracking_uri or settings.tracking_uri, folder.parent)
    check_answers(uri)
    summary = Summary(settings.goals)
    arms = plan.arms(settings)
    jobs = plan.jobs(settings, arms)
    records.check(folder, plan.trials(arms))
    kept = records.load(folder)
    data_hash = next((row["data_hash"] for row in (one["row"] for one in kept) if row["data_hash"]), "")
    finished = records.finished(kept, jobs)
    for rows in finished.values():
        summary.add(rows)
    n_records = len(kept)
    with contextlib.closing(Tracker(uri, folder, dataset=find(settings.dataset).name)) as tracker:
        tracker.start(results.flat_settings(settings) | {"data_hash": data_hash})
        tracker.is_open(wait=True)
        tracker.note(summary.done, summary.metrics())
        outcome = "FINISHED" if n_records >= sum(len(job.replicates) for job in jobs) else "KILLED"
        models = results.models(finished, settings.goals, settings.register) if outcome == "FINISHED" else {}
        missing = tracker.finish(outcome, patience_s=PATIENCE_S, models=models, stays=True)
        results.export(folder, kept, settings.goals)  # with the ids of the runs
        if not missing:
            print(f"artifacts of the study's run: {', '.join(tracker.publish())}")
    print(f"MLflow at {without_password(uri)}: {n_records} runs of {settings.name}")
    return n_records, missing


def build_parser() -> Parser:
    parser = Parser("study.sync", description=__doc__)
    parser.add_argument("folder", type=Path, help="The folder of the study, such as runs/NAME.")
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="Export to this MLflow server or database (default: the study's).",
    )
    return parser


def main() -> None:
    args = build_parser().parse_args()
    _, missing = sync(args.folder, args.tracking_uri)
    if missing:
        print(f"warning: {missing} runs could not be exported: try again later", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    exit_on_user_error(main)
