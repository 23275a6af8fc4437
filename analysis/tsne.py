"""t-SNE, here or in a second process, which computes while this one goes on.

scikit-learn holds Python's global lock while it computes, so a thread would not help. The second process
runs this file by its path, so it imports scikit-learn but nothing of the package.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

SEED = 0


def project(h: np.ndarray, perplexity: float) -> np.ndarray:
    """(n, D) -> (n, 2), from a PCA start with a fixed seed. Few frames lower the perplexity."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    made = TSNE(perplexity=min(perplexity, (len(h) - 1) / 3), init="pca", random_state=SEED, max_iter=500)
    with threadpool_limits(1):  # for so few points, several threads would be slower
        return made.fit_transform(h.astype(np.float64))


class Ahead:
    """Projects arrays of embeddings in a second process. Leaving the context always ends the process."""

    def __init__(self, embeddings: Mapping[str, np.ndarray], perplexity: float) -> None:
        self._embeddings, self._perplexity = embeddings, perplexity

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        given, self._made = (Path(self._folder.name) / f"{name}.npz" for name in ("given", "made"))
        _save(given, {str(number): h for number, h in enumerate(self._embeddings.values())})
        words = [sys.executable, "-P", __file__, str(given), str(self._made), str(self._perplexity)]
        self._process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        return self

    def finish(self) -> dict[str, np.ndarray]:
        """Wait; returns (n, 2) for each array, by its name."""
        _, errors = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"t-SNE failed: {errors.strip()[-500:]}")
        with np.load(self._made) as made:
            return {name: made[str(number)] for number, name in enumerate(self._embeddings)}

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()


def _serve(given: Path, made: Path, perplexity: float) -> None:
    with np.load(given) as embeddings:
        _save(made, {name: project(h, perplexity) for name, h in embeddings.items()})


def _save(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    np.savez(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
