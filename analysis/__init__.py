"""Read an exported study: tables, statistics, charts and a report. `load("runs/NAME")` is the way in."""

from analysis.errors import UserError
from analysis.joined import join
from analysis.tables import Study, load, per_trial

__all__ = ["Study", "UserError", "join", "load", "per_trial"]
