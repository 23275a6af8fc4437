"""Pictures that can be kept with a document: small, and the same bytes whenever they are drawn."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from analysis import charts, pictures
from analysis.errors import UserError
from tests.analysis import synthetic


def test_projected_frames_are_few_and_draw_the_same_picture_twice(tmp_path):
    rows = synthetic.rows(trials=1, baseline_trials=1, diverged=0, failed=0, references=False)
    folder = synthetic.write(tmp_path / "q2-x", rows)
    out = tmp_path / "pictures.parquet"
    with pytest.raises(UserError, match="kept no embeddings"):
        pictures.main([str(folder), "--out", str(out)])
    for trial in ("emargin-0000", "infonce-0000"):
        synthetic.write_embeddings(folder, trial, 0, n=500, rank=3)
    pictures.main([str(folder), "--out", str(out)])
    made = pd.read_parquet(out)
    assert list(made.columns) == list(pictures.COLUMNS) and (made.groupby("trial").size() == 400).all()
    assert set(made["class"]) == {"wake", "N1", "N2", "N3", "REM"}
    places = made[["tsne_x", "tsne_y", "pca_x", "pca_y"]]
    assert (places.min() == 0).all() and places.max().max() == pictures.STEPS
    assert out.stat().st_size < 20_000
    titles = {trial: f"{trial}\nSilhouette 0.5" for trial in made["trial"].unique()}
    (one,) = charts.save(pictures.chart(made, titles), tmp_path / "one", ("png",))
    (two,) = charts.save(pictures.chart(pd.read_parquet(out), titles), tmp_path / "two", ("png",))
    assert one.read_bytes() == two.read_bytes()


COUNTED = """
import os, threading, time
import numpy as np, sklearn.manifold
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from analysis import embeddings
seen = []
class Counting:
    def __init__(self, **_):
        pass
    def fit_transform(self, h):
        seen.append((_openmp_effective_n_threads(), threading.get_ident()))
        time.sleep(0.2)
        return h[:, :2]
sklearn.manifold.TSNE = Counting
made = embeddings.project([np.full((9, 3), float(i)) for i in range(3)])
assert [cloud[0, 0] for cloud in made] == [0, 1, 2] and embeddings.project([]) == []
print([n for n, _ in seen], len({who for _, who in seen}))
"""


def test_clouds_are_projected_side_by_side_with_one_thread_each():
    """OpenMP has a limit for each thread that calls it: a limit outside would give each cloud all cores."""
    env = os.environ | {"OMP_NUM_THREADS": "2"}
    ran = subprocess.run((sys.executable, "-c", COUNTED), capture_output=True, text=True, env=env)
    assert ran.stdout.strip() == "[1, 1, 1] 3", ran.stderr
