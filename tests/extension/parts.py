"""Parts of one's own, as a package of somebody else would define them: public names only."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from graphkoopman.descriptors import FeatureBatch
from graphkoopman.lobes import SpeciesEmbedding, gaussian_basis, register, segment_sum
from graphkoopman.objectives import register_objective, score_of_moments
from graphkoopman.samples import Column, ColumnSamples, FileKind, Scalar
from graphkoopman.trajectories.readers import Contents, FrameBlock, reader


@register("encoder", "extension.ShellEncoder")
class ShellEncoder(BaseEstimator):
    """How many neighbours of each kind are how far, through one layer."""

    needs = frozenset({"distance"})
    n_hops = 1

    def __init__(self, n_features=8, r_max=6.0):
        self.n_features = n_features
        self.r_max = r_max

    def build(self, species):
        return Shells(species, self.n_features, self.r_max)


class Shells(nn.Module):
    def __init__(self, species, n_features, r_max):
        super().__init__()
        self.n_basis = round(r_max / 0.2) + 1
        self.embedding = SpeciesEmbedding(species, n_features)
        self.filter = nn.Linear(self.n_basis, n_features)

    def forward(self, batch):
        n = batch.n_target_atoms
        rows, n_edges = batch.rows(n), batch.n_edges(n)
        basis = gaussian_basis(batch.distances[:n_edges].to(self.filter.weight), self.n_basis)
        kinds = self.embedding(batch.species[batch.neighbors[:n_edges].long()].long())
        return segment_sum(torch.tanh(self.filter(basis)) * kinds, rows, n)


@register("encoder", "extension.FieldEncoder")
class FieldEncoder(BaseEstimator):
    """Sum of radial weights times directions: the length of the local field."""

    needs = frozenset({"distance", "direction"})
    n_hops = 1

    def __init__(self, n_features=6):
        self.n_features = n_features

    def build(self, species):
        return Field(len(species), self.n_features)


class Field(nn.Module):
    def __init__(self, n_species, n_features):
        super().__init__()
        self.charge = nn.Embedding(n_species, n_features)

    def forward(self, batch):
        n = batch.n_target_atoms
        rows, n_edges = batch.rows(n), batch.n_edges(n)
        charge = self.charge(batch.species[batch.neighbors[:n_edges].long()].long())
        decay = torch.exp(-batch.distances[:n_edges, None].to(charge))
        vectors = (decay * charge)[:, :, None] * batch.directions[:n_edges, None].to(charge)
        # (n, n_features), does not change when the system turns
        return segment_sum(vectors, rows, n).square().sum(dim=2)


@register("pooling", "extension.LargestPooling")
class LargestPooling(BaseEstimator):
    """The largest value over the atoms of a target, and, if wanted, the mean beside it."""

    def __init__(self, with_mean=False):
        self.with_mean = with_mean

    def build(self, n_features):
        return Largest(self.with_mean)


class Largest(nn.Module):
    def __init__(self, with_mean):
        super().__init__()
        self.with_mean = with_mean

    def forward(self, vectors, batch):
        if batch.target_of_atom is None:
            return torch.cat([vectors, vectors], dim=1) if self.with_mean else vectors
        n_targets = batch.n_frames * batch.n_targets
        owner = batch.target_of_atom[:, None].expand_as(vectors)
        largest = vectors.new_full((n_targets, vectors.shape[1]), -torch.inf)
        largest = largest.scatter_reduce(0, owner, vectors, "amax")
        if not self.with_mean:
            return largest
        size = segment_sum(torch.ones_like(vectors[:, :1]), batch.target_of_atom, n_targets)
        mean = segment_sum(vectors, batch.target_of_atom, n_targets) / size
        return torch.cat([largest, mean], dim=1)


@register_objective("mean of VAMP-1 and VAMP-2")
def mean_of_two(moments, epsilon):
    one, two = (score_of_moments(moments, method=m, epsilon=epsilon) for m in ("VAMP1", "VAMP2"))
    return (one + two) / 2


@dataclass(frozen=True, eq=False, repr=False)
class SpinTrajectory(ColumnSamples):
    """Vectors of unit length, one per target, at a temperature."""

    spins: np.ndarray  # (n_frames, n_targets, 3)
    temperature: float
    timestep: float
    parent: str | None = None
    start: int = 0

    columns: ClassVar = (Column("spins", "frame", "f", (None, 3)),)
    scalars: ClassVar = (
        Scalar("temperature", lambda t: isinstance(t, float) and t > 0),
        *ColumnSamples.scalars,
    )
    shared: ClassVar = ("temperature",)
    file: ClassVar = FileKind("extension-spins", 1, "spin file", "make it again")
    made_by: ClassVar = "SpinTrajectory"

    species = np.array(["x", "y", "z"])
    offers = frozenset({"features"})
    n_hops = 0

    def __len__(self):
        return len(self.spins)

    @property
    def n_targets(self):
        return self.spins.shape[1]

    @property
    def cost(self):
        return float(self.n_targets)

    def batch(self, frames, species_rows, n_hops, *, pin_memory=False):
        vectors = torch.from_numpy(self.spins[frames].reshape(-1, 3).astype(np.float32))
        return FeatureBatch(vectors, n_frames=len(frames), n_targets=self.n_targets)

    def still_targets(self):
        same = np.all(self.spins == self.spins[0], axis=(0, 2))
        return np.flatnonzero(same).tolist()


@reader("numbers", r".*\.numbers")
def read_numbers(path, structure, chunk):
    """Positions as rows of ``x y z`` in Å, frame after frame; the topology says how many atoms."""
    positions = np.loadtxt(path).reshape(-1, structure.n_atoms, 3)
    blocks = (
        FrameBlock(positions[begin : begin + chunk]) for begin in range(0, len(positions), chunk)
    )
    return Contents("numbers", structure.n_atoms, blocks, periodic=False)
