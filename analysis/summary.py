"""The report's first screen: what was studied, on which data, how it ended, what was found."""

import html
from collections.abc import Sequence

import pandas as pd

from analysis.page import bullets
from analysis.pareto import best_of, goals, recommended, trade_off
from analysis.sections import Section
from analysis.tables import Metric, Study, settings_text, varying
from analysis.words import listed, plural
from analysis.worlds import main_worlds

SIMULATED = "-sim"  # how the names of simulated data sets end


def data_title(study: Study, dataset: str) -> str:
    """A data set as the manifest calls it, else by its name; a simulated one is called simulated."""
    title = str(study.manifest.get("dataset_titles", {}).get(dataset, dataset))
    return f"{title} (simulated)" if dataset.endswith(SIMULATED) else title


def headline(study: Study) -> str:
    """One line: which methods beside which baselines, on which data."""
    methods = study.rows.drop_duplicates("method")
    names = {k: [study.method_title(o) for o in part["method"]] for k, part in methods.groupby("role")}
    searched = listed(names.get("searched", []) or names.get("baseline", []) or names.get("reference", []))
    beside = listed(names["baseline"]) if names.get("searched") and names.get("baseline") else ""
    data = listed([data_title(study, name) for name in study.rows["dataset"].unique()])
    return f"{searched}{f' beside {beside}' if beside else ''}, on {data}"


def counts(study: Study) -> dict[str, int]:
    """Rows by how they ended; `asked` and `missing` only where the manifest says how many were asked for."""
    status = study.rows["status"].value_counts()
    found = {name: int(status.get(name, 0)) for name in ("ok", "diverged", "failed")}
    asked = study.manifest.get("asked")
    if isinstance(asked, int):
        found = {"asked": asked, **found, "missing": max(asked - len(study.rows), 0)}
    return found


def header_html(study: Study, sections: Sequence[Section]) -> str:
    """Title, lead, counts, findings and the best trials."""
    kicker = "eMargin study"
    if study.rows["dataset"].str.endswith(SIMULATED).any():
        some = "" if study.rows["dataset"].str.endswith(SIMULATED).all() else "partly "
        kicker += f" · <strong>{some}simulated data</strong>"
    numbers = {"trials": study.rows["trial"].nunique(), **counts(study)}
    facts = "".join(
        f"<div{' class=bad' if name in _BAD and n else ''}><dt>{_FACTS[name]}</dt><dd>{n:,}</dd></div>"
        for name, n in numbers.items()
    )
    found = [sentence for section in sections for sentence in section.verdicts[: section.headlines]]
    return f"""<header>
<p class="kicker">{kicker} · {html.escape(study.name)}</p>
<h1>{html.escape(headline(study))}</h1>
<p class="lead">{html.escape(lead(study))}</p>
<dl class="facts">{facts}</dl>
{bullets(found)}
{best_html(study)}
</header>"""


_BAD = ("diverged", "failed", "missing")
_FACTS = {
    "trials": "trials (settings)",
    "asked": "trainings asked for",
    "ok": "ended well",
    "diverged": "diverged",
    "failed": "failed",
    "missing": "missing",
}


def lead(study: Study) -> str:
    """What was done, in two or three sentences."""
    trials = study.rows.drop_duplicates("trial")
    roles = trials["role"].value_counts()
    parts = []
    for name in ("searched", "baseline", "reference"):
        if n := int(roles.get(name, 0)):
            parts.append(f"{n} {name}")
    names = varying(study, trials)
    search = f", over {listed([study.title(name) for name in names])}" if names else ""
    text = f"{len(trials):,} {plural(len(trials), 'trial')} ({listed(parts)}){search}, {repeated(study)}."
    splits = set(study.rows["split"].dropna())
    if splits == {"subject"}:
        text += " Everything is measured on subjects who were not in the training data."
    text += context(study)
    names = study.rows["dataset"].astype(str)
    simulated = list(names[names.str.endswith(SIMULATED)].unique())
    if len(simulated) == names.nunique():
        text += " The data are simulated, so these numbers say nothing about patients."
    elif simulated:
        text += f" Simulated data ({listed(simulated)}) say nothing about patients."
    return text


def context(study: Study) -> str:
    """Which methods' embeddings depend on the other frames of a sequence; empty where none do."""
    if "encoder_context" not in study.rows:
        return ""
    sees = study.rows[study.rows["encoder_context"] == "sequence"]
    methods = sees["method"].unique()
    if not len(methods):
        return ""
    alone = study.rows.loc[study.rows["encoder_context"] == "frame", "method"].unique()
    some = " in some trials" if set(methods) & set(alone) else ""
    others = "; all others see one frame at a time" if len(alone) else ""
    names = listed([study.method_title(name) for name in methods])
    return f" The encoder of {names} sees a frame with its sequence{some}{others}."


def repeated(study: Study) -> str:
    """How often each setting was trained, in words."""
    groups = study.rows.groupby("trial")
    splits, most = int(groups["split_seed"].nunique().max()), int(groups.size().max())
    if splits < 2:
        return f"each trained with up to {most} {plural(most, 'seed')}"
    seeds = int(groups["seed"].nunique().max())
    return f"each trained on up to {splits} splits of the subjects with {seeds} {plural(seeds, 'seed')} each"


def best_trials(study: Study) -> pd.DataFrame:
    """The best complete trial of each method for each goal, and the compromise between the goals.

    These are of each data set at its least noise; `what` says what the trial is best at.
    """
    x, y = goals(study)
    table = trade_off(study, x, y)
    table["setting"] = settings_text(study, table)
    trained = table[
        table["complete"] & (table["role"] != "reference") & table["world"].isin(main_worlds(table))
    ]
    titles: dict[str, list[str]] = {}  # trial to what it is best at, in the order of the table
    for _, arm in trained.groupby(["world", "method"], sort=False):
        for metric, other in ((x, y), (y, x)):
            trial = arm.loc[best_of(arm, metric, other), "trial"]
            titles.setdefault(trial, []).append(f"best {metric.title}")
        for trial in recommended(arm, x, y)["trial"]:
            titles.setdefault(trial, []).append("compromise")
    best = table.set_index("trial").loc[list(titles)].reset_index()
    best.insert(0, "what", [listed(words) for words in titles.values()])
    for metric in (x, y):
        name = f"test_{metric.name}"
        if name in study.rows:
            best[name] = best["trial"].map(study.ok.groupby("trial")[name].mean())
    return best


def best_html(study: Study) -> str:
    """Those trials as a table, intervals beside the means."""
    best = best_trials(study)
    if best.empty:
        return '<p class="note">No trial ended well with every seed, so there is no best one to name.</p>'
    x, y = goals(study)
    tested = [m for m in (x, y) if f"test_{m.name}" in best and best[f"test_{m.name}"].notna().any()]
    several = best["world"].nunique() > 1
    heads = ["Which", "Method", *(["Data"] if several else []), "Setting"]
    line = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in heads)
    numeric = [m.title for m in (x, y)] + [f"{m.title}, test" for m in tested]
    line += "".join(f'<th scope="col" class="n">{html.escape(h)}</th>' for h in numeric)
    body = []
    for _, row in best.head(12).iterrows():
        cells = [row["what"], study.method_title(row["method"])]
        cells += [row["world"]] if several else []
        tds = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
        tds += f'<td class="setting">{html.escape(row["setting"])}</td>'
        tds += "".join(f'<td class="n">{_interval(row, m)}</td>' for m in (x, y))
        tds += "".join(f'<td class="n">{_number(row[f"test_{m.name}"])}</td>' for m in tested)
        body.append(f"<tr>{tds}</tr>")
    luck = "The best of many trials is partly luck, and these intervals do not account for the choice"
    luck += "; the test columns are other people, not used in the search." if tested else "."
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="Best trials"><table class="best">
<thead><tr>{line}</tr></thead><tbody>{"".join(body)}</tbody></table></div>
<p class="note">{luck}</p>"""


def _interval(row: "pd.Series[float]", metric: Metric) -> str:
    low, high = row[f"{metric.name}_low"], row[f"{metric.name}_high"]
    interval = f'<br><span class="iv">{low:.3f} to {high:.3f}</span>' if pd.notna(low) else ""
    return f"{_number(row[metric.name])}{interval}"


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"
