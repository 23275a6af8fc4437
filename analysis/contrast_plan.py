"""The plan of contrasts: a TOML file, written down before the studies are run (`analysis.contrasts`)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.errors import UserError, nearest

LEVEL = 0.05
TOP = {"contrasts", "margins", "level", "looks"}
KEYS = {"name", "question", "hypothesis", "metrics", "a", "b", "within"}


@dataclass(frozen=True)
class Contrast:
    """One planned comparison; `a` and `b` are conditions on columns (`analysis.selection`)."""

    name: str
    question: str
    hypothesis: str
    metrics: tuple[str, ...]
    a: Mapping[str, Any]
    b: Mapping[str, Any]
    within: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """margins: the difference that matters, by metric

    level: of the tests of a question, over all of its looks
    looks: how often the verdicts of a question have been looked at before they were final (else once)
    """

    contrasts: tuple[Contrast, ...]
    margins: Mapping[str, float]
    level: float = LEVEL
    looks: Mapping[str, int] = field(default_factory=dict)

    def level_of(self, question: str) -> float:
        """The level of a single look, by Bonferroni: who looks twice has two chances to be wrong."""
        return self.level / self.looks.get(question, 1)


def read(path: Path) -> Plan:
    """The plan in a TOML file. Raises UserError for what is missing, unknown, or named twice."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give the plan's TOML file") from None
    except ValueError as error:
        raise UserError(f"{path} is not TOML ({error}): correct it") from None
    for key in sorted(found.keys() - TOP):
        raise UserError(f"{path} has '{key}': {nearest(key, TOP)}")
    margins = found.get("margins", {})
    contrasts: list[Contrast] = []
    for given in found.get("contrasts", []):
        name = given.get("name", f"number {len(contrasts) + 1}")
        for key in given.keys() - KEYS:
            raise UserError(f"{path}: contrast {name} has '{key}': {nearest(key, KEYS)}")
        missing = sorted(KEYS - {"within"} - given.keys())
        if missing:
            raise UserError(f"{path}: contrast {name} has no {missing[0]}: add it")
        if name in (other.name for other in contrasts):
            raise UserError(f"{path}: two contrasts are named {name}: rename one")
        for metric in given["metrics"]:
            if not margins.get(metric, 0) > 0:
                raise UserError(
                    f"{path}: [margins] has no number above 0 for {metric}: add the difference that matters"
                )
        as_read = given | {"metrics": tuple(given["metrics"]), "within": tuple(given.get("within", ()))}
        contrasts.append(Contrast(**as_read))
    if not contrasts:
        raise UserError(f"{path} has no [[contrasts]]: add one")
    looks = found.get("looks", {})
    questions = {contrast.question for contrast in contrasts}
    for question, n in looks.items():
        if question not in questions:
            raise UserError(f"{path}: [looks] has '{question}': {nearest(question, questions)}")
        if not isinstance(n, int) or n < 1:
            raise UserError(f"{path}: [looks] has {n} for {question}: give a whole number of 1 or more")
    return Plan(tuple(contrasts), margins, found.get("level", LEVEL), looks)
