"""Numbers and lists in sentences."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

NAMES = ("Silhouette", "Gaussian")  # first words of titles that keep their capital


def plural(n: int, word: str) -> str:
    """The word in singular or plural, for n things: "trial" or "trials"."""
    return word if n == 1 else f"{word}s"


def listed(words: Sequence[str]) -> str:
    """The words as a list in a sentence: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def begin(where: str, sentence: str) -> str:
    """A sentence about one dataset: "On x, …"; without one, only capitalised."""
    return f"On {where}, {sentence}" if where else sentence[0].upper() + sentence[1:]


def estimate(row: Any, name: str, digits: int = 3) -> str:
    """Mean and interval of a metric in a row of `per_trial`: "0.721 [0.700, 0.743]"."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = f" [{low:.{digits}f}, {high:.{digits}f}]" if pd.notna(low) else ""
    return f"{row[name]:.{digits}f}{interval}"


def inline(title: str) -> str:
    """A title as it stands within a sentence: "Threshold" becomes "threshold"; names and "SNR" stay."""
    first = title.replace(",", " ").partition(" ")[0]
    is_word = first not in NAMES and (
        first[1:].islower() and first[1:].replace("-", "").isalpha() or len(title) == 1
    )
    return title[:1].lower() + title[1:] if is_word else title


def bracketed(title: str) -> str:
    """A title with a comma as it stands in a list: "eMargin, as released" as "eMargin (as released)"."""
    first, comma, rest = title.partition(", ")
    return f"{first} ({rest})" if comma else title


def capitalised(text: str) -> str:
    """The text with a capital as its first letter; the others stay as they are."""
    return text[:1].upper() + text[1:]
