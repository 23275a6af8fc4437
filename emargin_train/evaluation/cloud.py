"""The class-balanced frames of one split, with quantities that several metrics need, each computed once."""

from functools import cached_property

import numpy as np
from torch import Tensor

from emargin_train.evaluation import clustering, geometry
from emargin_train.evaluation.degenerate import Degenerate
from emargin_train.evaluation.distances import Pairs, all_pairs
from emargin_train.evaluation.points import unit


class Cloud:
    """Embeddings with their clusters, their spectrum, and the results of one pass over all pairs.

    Everything is computed when a metric first needs it. A property without a value raises Degenerate.

    h: (n, D); y: (n,) classes, -1 for unlabelled frames
    clusters: the number of clusters; None = as many as y has classes
    labellings: those of "clusters", "classes" and "clusters_of_z" for which the passes sum distances
    neighbours: whether the pass finds nearest neighbours
    potential: whether the pass over pairs of z sums potentials
    """

    def __init__(
        self,
        h: Tensor,
        y: np.ndarray,
        *,
        seed: int,
        clusters: int | None = None,
        labellings: tuple[str, ...] = ("clusters", "classes", "clusters_of_z"),
        neighbours: bool = True,
        potential: bool = True,
    ) -> None:
        self.h, self._y, self._seed, self._n_clusters = h, y, seed, clusters
        self._labellings, self._neighbours, self._potential = labellings, neighbours, potential

    @cached_property
    def n_clusters(self) -> int:
        """The number of clusters that KMeans looks for."""
        if self._n_clusters is not None:
            return self._n_clusters
        if (self._y < 0).any():
            raise Degenerate("the frames have no labels, and --clusters was not given")
        return len(np.unique(self._y))

    @cached_property
    def classes(self) -> np.ndarray:
        """The class of each frame as 0 to K-1: (n,)."""
        if (self._y < 0).any():
            raise Degenerate("the frames have no labels")
        return clustering.codes_of(self._y)

    @cached_property
    def clusters(self) -> np.ndarray:
        """KMeans' cluster of each frame as 0 to K-1: (n,)."""
        return clustering.codes_of(clustering.kmeans(self.h, self.n_clusters, seed=self._seed))

    @cached_property
    def spectrum(self) -> np.ndarray:
        """Eigenvalues of the covariance, largest first."""
        return geometry.spectrum(self.h)

    @cached_property
    def _pass(self) -> tuple[dict[str, np.ndarray], Pairs]:
        codes = {}
        for name in self._labellings:
            if name == "clusters_of_z":
                continue  # its Silhouette comes from distances between z
            try:
                codes[name] = getattr(self, name)
            except Degenerate:
                continue  # `silhouette` raises the same error again
        near = min(geometry.CANDIDATES, len(self.h) - 1) if self._neighbours else 0
        pairs = all_pairs(self.h, *codes.values(), near=near)
        return dict(zip(codes, pairs.total, strict=True)), pairs

    def silhouette(self, labelling: str) -> float:
        """Return the Silhouette of "clusters" or of "classes"."""
        code = getattr(self, labelling)
        return clustering.silhouette(self._pass[0][labelling], code)

    @property
    def pairs(self) -> Pairs:
        """The result of the pass over all pairs of h."""
        return self._pass[1]

    @cached_property
    def z(self) -> Tensor:
        """h/|h|: (n, D)."""
        return unit(self.h)

    @cached_property
    def clusters_of_z(self) -> np.ndarray:
        """KMeans' cluster of each z as 0 to K-1: (n,)."""
        return clustering.codes_of(clustering.kmeans(self.z, self.n_clusters, seed=self._seed))

    @cached_property
    def _pass_of_z(self) -> Pairs:
        codes = []
        if "clusters_of_z" in self._labellings:
            try:
                codes.append(self.clusters_of_z)
            except Degenerate:
                pass  # `silhouette_of_z` raises the same error again
        return all_pairs(self.z, *codes, potential=self._potential)

    @property
    def silhouette_of_z(self) -> float:
        """The Silhouette of KMeans on z."""
        code = self.clusters_of_z
        return clustering.silhouette(self._pass_of_z.total[0], code)

    @property
    def uniformity(self) -> float:
        """`geometry.uniformity`, from the same pass over pairs of z."""
        return geometry.uniformity(self.h, self._pass_of_z)
