"""The first screen of the report: what was studied, on which data, how it ended, and what was found."""

import html
from collections.abc import Sequence

import pandas as pd

from analysis import mlflow_links
from analysis.endings import unfinished
from analysis.headlines import BY_SUBJECT, headlines, idle_mark
from analysis.page import bullets, prose
from analysis.pareto import best_of, goals, recommended, trade_off
from analysis.sections import Section
from analysis.tables import SIMULATED, Metric, Study, settings_text, varying
from analysis.words import bracketed, inline, listed, plural
from analysis.worlds import main_worlds

MOST_NAMED = 3  # methods in the title of the page


def headline(study: Study) -> str:
    """One line: which methods were compared with which baselines, on which data."""
    methods = study.rows.drop_duplicates("method")
    titles = methods.assign(title=[bracketed(study.method_title(name)) for name in methods["method"]])
    names = {role: list(part["title"]) for role, part in titles.groupby("role")}
    shown = names.get("searched", []) or names.get("baseline", []) or names.get("reference", [])
    searched = listed(shown) if len(shown) <= MOST_NAMED else f"{len(shown)} methods"
    beside = listed(names["baseline"]) if names.get("searched") and names.get("baseline") else ""
    data = listed([study.data_title(name) for name in study.rows["dataset"].unique()])
    return f"{searched}{f' compared with {beside}' if beside else ''}, on {data}"


def counts(study: Study) -> dict[str, int]:
    """The number of rows by how they ended; `asked` and `missing` only if the manifest has a plan."""
    status = study.rows["status"].value_counts()
    found = {name: int(status.get(name, 0)) for name in ("ok", "diverged", "failed")}
    asked = study.manifest.get("asked")
    if isinstance(asked, int):
        found = {"asked": asked, **found, "missing": max(asked - len(study.rows), 0)}
    return found


def header_html(study: Study, sections: Sequence[Section]) -> str:
    """Title, answers, counts, what did not end well, findings and the best trials."""
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
{answers_html(study)}
<p class="lead">{html.escape(lead(study))}</p>
<dl class="facts">{facts}</dl>
{bullets([*unfinished(study), *found])}
{best_html(study)}
</header>"""


def answers_html(study: Study) -> str:
    """For each goal, the best method against the best reference."""
    items = "".join(
        f'<li class="{answer.verdict}"><strong>{prose(answer.claim)}</strong> {prose(answer.details)}</li>'
        for answer in headlines(study)
    )
    return f'<ul class="answers" aria-label="Answers">{items}</ul>'


_BAD = ("diverged", "failed", "missing")
_FACTS = {
    "trials": "trials (settings)",
    "asked": "trainings planned",
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
    names = varying(study, trials[trials["role"] != "reference"])
    search = f", over {listed([study.title(name) for name in names])}" if names else ""
    text = f"{len(trials):,} {plural(len(trials), 'trial')} ({listed(parts)}){search}, {repeated(study)}."
    splits = set(study.rows["split"].dropna())
    if splits == {"subject"}:
        text += " Everything is measured on subjects who were not in the training data."
    text += context(study)
    described = [study.full_data_title(name) for name in study.rows["dataset"].unique()]
    if titles := [title for title in described if ":" in title]:
        text += f" Data: {'; '.join(titles)}."
    names = study.rows["dataset"].astype(str)
    simulated = list(names[names.str.endswith(SIMULATED)].unique())
    if len(simulated) == names.nunique():
        text += " The data are simulated, so these numbers say nothing about patients."
    elif simulated:
        text += f" Simulated data ({listed(simulated)}) say nothing about patients."
    if study.manifest.get("classes") == []:
        text += (
            " The recordings have no labels, so nothing here says whether the embeddings separate what "
            "people would call different; a high Silhouette alone does not show it."
        )
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
    trained = study.rows[study.rows["role"] != "reference"]
    groups = (study.rows if trained.empty else trained).groupby("trial")
    of_splits, sizes, of_seeds = groups["split_seed"].nunique(), groups.size(), groups["seed"].nunique()
    splits, most, seeds = int(of_splits.max()), int(sizes.max()), int(of_seeds.max())
    up_to = "" if sizes.min() == most else "up to "  # some have failed, or are not done yet
    if splits < 2:
        return f"each trained with {up_to}{most} {plural(most, 'seed')}"
    return f"each trained on {up_to}{splits} splits of the subjects with {seeds} {plural(seeds, 'seed')} each"


def best_trials(study: Study) -> pd.DataFrame:
    """The best complete trial of each method for each goal, and the compromise between the goals.

    For each dataset, only its least noise is considered; `what` says in what the trial is best.
    """
    x, y = goals(study)
    table = trade_off(study, x, y)
    table = table[table["world"].isin(main_worlds(table))]
    table = table.assign(setting=settings_text(study, table))
    trained = table[table["complete"] & (table["role"] != "reference")]
    titles: dict[str, list[str]] = {}  # trial to what it is best at, in the order of the table
    for _, arm in trained.groupby(["world", "method"], sort=False):
        for metric, other in ((x, y), (y, x)):
            trial = arm.loc[best_of(arm, metric, other), "trial"]
            titles.setdefault(trial, []).append(f"best {inline(metric.title)}")
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
    """Those trials as a table, intervals beside the means, with links to their runs."""
    best = best_trials(study)
    if best.empty:
        return '<p class="note">No trial ended well with every replicate, so there is no best trial.</p>'
    x, y = goals(study)
    tested = [m for m in (x, y) if f"test_{m.name}" in best and best[f"test_{m.name}"].notna().any()]
    several = best["world"].nunique() > 1
    linked = mlflow_links.note(study)
    heads = ["Which", "Method", *(["Data"] if several else []), "Trial", "Setting"]
    line = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in heads)
    numeric = [m.title for m in (x, y)] + [f"{m.title}, test" for m in tested]
    line += "".join(f'<th scope="col" class="n">{html.escape(h)}</th>' for h in numeric)
    line += '<th scope="col">MLflow runs</th>' if linked else ""
    body = []
    for _, row in best.head(12).iterrows():
        cells = [row["what"], study.method_title(row["method"])]
        cells += [row["world"]] if several else []
        names = [*heads[:2], *(["Data"] if several else [])]
        tds = "".join(_td(name, html.escape(str(cell))) for name, cell in zip(names, cells, strict=True))
        mark = idle_mark(row)
        idle = f' <span class="idle">({mark})</span>' if mark else ""
        tds += _td("Trial", html.escape(row["trial"]), "trial")
        tds += _td("Setting", f"<span>{html.escape(row['setting'])}{idle}</span>", "setting")
        tds += "".join(_td(m.title, _interval(row, m), "n", row[m.name]) for m in (x, y))
        for m in tested:
            value = row[f"test_{m.name}"]
            tds += _td(f"{m.title}, test", _number(value), "n", value)
        tds += (
            _td("MLflow runs", f"<span>{mlflow_links.links_html(study, row['trial'])}</span>")
            if linked
            else ""
        )
        body.append(f"<tr>{tds}</tr>")
    luck = "The best of many trials is partly luck"
    if any(best[f"{metric.name}_low"].notna().any() for metric in (x, y)):
        luck += ", and these intervals do not account for the choice"
    by_subject = set(study.rows["split"].dropna()) <= set(BY_SUBJECT)
    others = "other subjects, which were" if by_subject else "data that were"
    luck += f"; the test columns show {others} not used in the search." if tested else "."
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="Best trials">
<table class="best sortable"><thead><tr>{line}</tr></thead><tbody>{"".join(body)}</tbody></table></div>
<p class="note">{luck} {html.escape(linked)}</p>"""


def _td(name: str, content: str, kind: str = "", value: float | None = None) -> str:
    """A cell that carries its column's name, for narrow screens, and its value, for sorting."""
    sort = "" if value is None or pd.isna(value) else f' data-value="{value:.6g}"'
    return f'<td class="{kind}" data-name="{html.escape(name, quote=True)}"{sort}>{content}</td>'


def _interval(row: "pd.Series[float]", metric: Metric) -> str:
    low, high = row[f"{metric.name}_low"], row[f"{metric.name}_high"]
    interval = f'<span class="iv">{low:.3f} to {high:.3f}</span>' if pd.notna(low) else ""
    return f"<span>{_number(row[metric.name])}{interval}</span>"


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"
