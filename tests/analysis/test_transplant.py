"""Exchanged spectra on planted embeddings, and the program on two small studies."""

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from analysis import transplant
from analysis.contrasts import POOLED
from analysis.errors import UserError
from tests.analysis import synthetic

PLAN = """
[margins]
test_silhouette = 0.1
[[contrasts]]
name = "headline"
question = "Q2"
hypothesis = "eMargin has the better Silhouette."
metrics = ["test_silhouette"]
a = { method = "emargin" }
b = { method = "infonce" }
"""


def cells(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    return {one + other: score for one, other, score, _ in transplant.exchanged(a, b, 4)}


def parts(made: dict[str, float]) -> dict[str, float]:
    rows = pd.DataFrame(
        [("x", 0, 0, key[0], key[1], score) for key, score in made.items()],
        columns=["dataset", "split_seed", "seed", "scores", "spectrum", "silhouette"],
    )
    return {name: of["x"].iloc[0] for name, of in transplant.parts(rows).items()}


def cloud(variance: np.ndarray, seed: int = 0, clusters: bool = False) -> np.ndarray:
    """(200, D) points whose sample spectrum is exactly `variance`, in a random basis."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, len(variance)))
    if clusters:
        x[:, :2] += 8 * np.eye(4, 2)[rng.integers(0, 4, 200)]
    scores, _ = transplant.principal(x)
    basis = np.linalg.qr(rng.normal(size=(len(variance), len(variance))))[0]
    return scores * np.sqrt(variance) @ basis


def test_own_scores_with_own_spectrum_are_the_embeddings():
    h = cloud(np.array([5.0, 3, 1, 1, 0.5]), clusters=True)
    plain = silhouette_score(h, KMeans(4, n_init=10, random_state=1).fit_predict(h))
    assert cells(h, h)["aa"] == pytest.approx(plain, abs=0.01)  # KMeans in another basis
    scores, variance = transplant.principal(h)
    assert np.allclose(scores.T @ scores / len(h), np.eye(5)) and np.allclose(variance, [5, 3, 1, 1, 0.5])


def test_a_difference_of_spectrum_alone_is_all_in_the_spectrum():
    narrow, wide = np.array([1.0, 0.01, 0.01, 0.01, 0.01, 0.01]), np.ones(6)
    made = parts(cells(cloud(narrow, 1), cloud(wide, 1)))
    assert made["both"] > 0.2
    assert made["spectrum"] == pytest.approx(made["both"], abs=0.02)
    assert made["scores"] == pytest.approx(0, abs=0.02)


def test_a_difference_of_scores_alone_is_all_in_the_scores():
    same = np.array([2.0, 2, 1, 1])
    made = parts(cells(cloud(same, 2, clusters=True), cloud(same, 3)))
    assert made["both"] > 0.05
    assert made["scores"] == pytest.approx(made["both"], abs=1e-6) and abs(made["spectrum"]) < 1e-6


def test_axes_that_one_side_lacks_are_counted_as_lost():
    found = transplant.exchanged(cloud(np.ones(2)), cloud(np.array([4.0, 3, 2, 1])), 4)
    assert {(one, other): round(kept, 6) for one, other, _, kept in found} == {
        ("a", "a"): 1, ("a", "b"): 0.7, ("b", "a"): 1, ("b", "b"): 1,
    }  # fmt: skip


def test_program_measures_every_replicate_of_both_sides(tmp_path, capsys):
    folders = []
    for method, rank in (("emargin", 2), ("infonce", 30)):
        rows = synthetic.rows(trials=1, baseline_trials=1, diverged=0, failed=0, references=False)
        rows = rows[(rows["method"] == method)].assign(study=f"q2-x-{method}")
        folders.append(synthetic.write(tmp_path / f"q2-x-{method}", rows))
        for seed in rows["seed"]:
            synthetic.write_embeddings(folders[-1], rows["trial"].iloc[0], seed, n=60, rank=rank)
    (tmp_path / "plan.toml").write_text(PLAN)
    out = tmp_path / "transplant.parquet"
    given = [str(tmp_path / "plan.toml"), "headline", *map(str, folders), "--out", str(out)]
    transplant.main(given)
    made = pd.read_parquet(out)
    assert len(made) == 4 * made["seed"].nunique() == int(capsys.readouterr().out.split(", ")[1].split()[0])
    assert made["stored"].notna().sum() == len(made) / 2
    judged = transplant.judged(pd.concat([made.assign(split_seed=s) for s in range(4)]), 0.1, 0.05)
    assert set(judged["contrast"]) == {f"transplant-{part}" for part in transplant.PARTS}
    assert set(judged["dataset"]) == {*made["dataset"], POOLED}
    with pytest.raises(UserError, match="the plan has no 'headlin': did you mean 'headline'"):
        transplant.main([given[0], "headlin", *given[2:]])
    synthetic.write_embeddings(folders[0], "emargin-0000", 0, n=59, rank=2)
    with pytest.raises(UserError, match="encode different frames"):
        transplant.main(given)
    next((folders[1] / "embeddings").glob("*-0.arrow")).unlink()
    with pytest.raises(UserError, match="--keep-embeddings all"):
        transplant.main(given)
