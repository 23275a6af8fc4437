"""Tables as Markdown."""

import pandas as pd


def markdown(table: pd.DataFrame, digits: int = 3) -> str:
    """A Markdown table. Numbers have so many significant digits (0 = whole numbers); null is –."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "–" if pd.isna(value) else f"{value:.0f}" if digits == 0 else f"{value:.{digits}g}"
        return "–" if value is None else str(value)

    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    lines = [" | ".join(map(str, table.columns)), " | ".join("---:" if n else "---" for n in numeric)]
    lines += [" | ".join(map(cell, row)) for row in table.itertuples(index=False)]
    return "\n".join(f"| {line} |" for line in lines)


def bounds(table: pd.DataFrame, mean: str, low: str, high: str, *, sign: str = "") -> "pd.Series[str]":
    """Three columns as text: 0.52 [0.41, 0.63]. With `sign` = "+", positive numbers have a plus sign."""
    texts = [
        "–"
        if pd.isna(m)
        else f"{m:{sign}.3f}"
        if pd.isna(a)
        else f"{m:{sign}.3f} [{a:{sign}.3f}, {b:{sign}.3f}]"
        for m, a, b in zip(table[mean], table[low], table[high], strict=True)
    ]
    return pd.Series(texts, index=table.index, dtype=object)
