"""Read an exported study: tables, statistics, charts and a report. Start with `load("runs/NAME")`.

What these names need is imported when one of them is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.errors import UserError
    from analysis.joined import join
    from analysis.tables import Study, load, per_trial

__all__ = ["Study", "UserError", "join", "load", "per_trial"]


def __getattr__(name: str) -> Any:
    for module in ("errors", "joined", "tables") if name in __all__ else ():
        found = getattr(import_module(f"analysis.{module}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module '{__name__}' has no attribute '{name}': it has {', '.join(__all__)}")
