"""Where environments begin, and what is put right at their end: `Prior`, `RadialCorrection`,
`Contacts`."""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graphkoopman.generation._environments import Environments

Array = NDArray[np.float64]
Index = NDArray[np.int64]

FEWEST_LIKE = 50  # environments of the data that a request may take its elements from
PURE = 0.9  # probability of a state
LIKE = 0.1  # how far their probabilities may be from the request, in each state
LEVELS = np.linspace(0.002, 0.998, 125)  # of quantiles of radii
FEWEST_RADII = 50  # for a correction of their quantiles
CLOSEST = 1e-3  # quantile of distances between two elements
MOST_PAIRED = 20_000  # environments whose distances are looked at
TOLERANCE = 0.05  # Å below it that count as a clash
MOST_PUSHES = 40
OVERSHOOT = 1.1  # of a push, so that a few are enough where many atoms are in each other's way


class Prior:
    """Environments of the data under noise, where the flow begins.

    Parameters
    ----------
    data : Environments

    Attributes
    ----------
    probs : ndarray of shape (n_environments, n_states)
    positions : ndarray of shape (n_environments, n_atoms, 3)
        Å.
    kinds : ndarray of shape (n_environments, n_atoms), int64
        Atoms of the target by their place in it, neighbours by their element, counted from zero.
    n_kinds : int
    groups : ndarray of shape (n_environments,), int64
        Likeliest state.
    classes : ndarray of shape (n_environments,), int64
        Likeliest state, and whether it is nearly certain: distances are not the same then.
    radii : ndarray of shape (n_environments, n_atoms)
        Å.
    """

    def __init__(self, data: Environments) -> None:
        self.probs, self.positions = data.probs, data.positions
        elements, found = np.unique(data.species[:, data.n_inner :], return_inverse=True)
        inner = np.tile(np.arange(data.n_inner), (len(data), 1))
        neighbors = found.reshape(len(data), -1) + data.n_inner
        self.kinds = np.concatenate([inner, neighbors], axis=1).astype(np.int64)
        self.n_kinds = data.n_inner + len(elements)
        self.groups = data.probs.argmax(axis=1)
        self.classes = 2 * self.groups + (data.probs.max(axis=1) >= PURE)
        self.radii = np.linalg.norm(data.positions, axis=-1)
        self._members = {
            group: np.flatnonzero(self.groups == group) for group in set(self.groups.tolist())
        }

    def templates(self, asked: Array, rng: np.random.Generator) -> Index:
        """Environments whose probabilities are as asked for, one per row, at random."""
        rows, inverse = np.unique(asked.round(6), axis=0, return_inverse=True)
        chosen = np.empty(len(asked), dtype=np.int64)
        for i, row in enumerate(rows):
            off = np.abs(self.probs - row).max(axis=1)
            n_like = max(int(np.count_nonzero(off <= LIKE)), min(FEWEST_LIKE, len(off)))
            like = np.argpartition(off, n_like - 1)[:n_like]
            here = inverse.ravel() == i
            chosen[here] = rng.choice(like, size=np.count_nonzero(here))
        return chosen

    def points(self, templates: Index, noise: float, rng: np.random.Generator) -> Array:
        """Environments under white noise of that many Å along every axis, (n, n_atoms, 3) in Å."""
        shaken = self.positions[templates]
        return shaken + noise * rng.normal(size=shaken.shape)

    def balanced(self, n: int, rng: np.random.Generator) -> Index:
        """Environments at random, of every likeliest state alike."""
        groups = rng.choice(np.unique(self.groups), size=n)
        return np.array([rng.choice(self._members[int(group)]) for group in groups])


@dataclass(frozen=True, eq=False)
class RadialCorrection:
    """Quantiles of distances to the target, drawn and of the data, by class and kind of atom.

    Attributes
    ----------
    drawn, data : dict from (class, kind) to ndarray of shape (n_levels,)
        Å.
    """

    drawn: dict[tuple[int, int], Array]
    data: dict[tuple[int, int], Array]

    @classmethod
    def of(cls, prior: Prior, templates: Index, drawn: Array) -> Self:
        """From environments drawn for templates, (n, n_atoms, 3)."""
        radii, kinds = np.linalg.norm(drawn, axis=-1), prior.kinds[templates]
        found: dict[tuple[int, int], Array] = {}
        given: dict[tuple[int, int], Array] = {}
        for which in set(prior.classes.tolist()):
            ours, theirs = prior.classes[templates] == which, prior.classes == which
            for kind in range(prior.n_kinds):
                ours_of_kind = radii[ours][kinds[ours] == kind]
                theirs_of_kind = prior.radii[theirs][prior.kinds[theirs] == kind]
                if min(len(ours_of_kind), len(theirs_of_kind)) >= FEWEST_RADII:
                    found[which, kind] = np.quantile(ours_of_kind, LEVELS)
                    given[which, kind] = np.quantile(theirs_of_kind, LEVELS)
        return cls(found, given)

    def apply(self, drawn: Array, prior: Prior, templates: Index) -> Array:
        """Environments whose distances are distributed as in the data; directions are kept."""
        radii = np.linalg.norm(drawn, axis=-1)
        kinds, classes = prior.kinds[templates], prior.classes[templates]
        corrected = radii.copy()
        for (which, kind), levels in self.drawn.items():
            here = (kinds == kind) & (classes == which)[:, None]
            shift = self.data[which, kind] - levels  # beyond the last quantile it stays the same
            corrected[here] += np.interp(radii[here], levels, shift)
        scale = corrected / np.maximum(radii, 1e-9)
        return drawn * scale[..., None]


@dataclass(frozen=True, eq=False)
class Contacts:
    """Shortest distance between two elements, as it is found in the data.

    Attributes
    ----------
    first : int
        Atomic number of the atom at the origin.
    closest : dict from pairs of atomic numbers, the lower first, to float
        Å.
    """

    first: int
    closest: dict[tuple[int, int], float]

    @classmethod
    def of(cls, data: Environments) -> Self:
        """From the environments of the data."""
        first = int(data.own[0])
        every = slice(None, None, -(-len(data) // MOST_PAIRED))
        distances, pairs = _distances(data.positions[every], data.species[every], first)
        elements = sorted({first, *np.unique(data.species).tolist()})
        closest = {
            pair: float(np.quantile(distances[chosen], CLOSEST))
            for pair in combinations_with_replacement(elements, 2)
            if (chosen := (pairs == _code(*pair))).any()
        }
        return cls(first, closest)

    def apart(self, positions: Array, species: Index) -> Array:
        """Environments whose atoms are pushed apart where they are closer than in the data.

        Both atoms of a pair move by half of what they lack, along the line between them, and are
        put back to their distance from the origin, where an atom stays.
        """
        radii = np.linalg.norm(positions, axis=-1, keepdims=True)
        points = np.concatenate([np.zeros((len(positions), 1, 3)), positions], axis=1)
        least = self._least(species)
        i, j = np.triu_indices(points.shape[1], 1)
        ends = np.zeros((points.shape[1], len(i)))  # +1 where a pair ends, -1 where it begins
        ends[j, np.arange(len(j))], ends[i, np.arange(len(i))] = 1.0, -1.0
        for _ in range(MOST_PUSHES):
            arms = points[:, j] - points[:, i]
            distances = np.maximum(np.linalg.norm(arms, axis=-1), 1e-6)
            lack = np.maximum(least - distances, 0.0)
            if not lack.any():
                break
            push = (0.5 * OVERSHOOT * lack / distances)[..., None] * arms
            moved = points[:, 1:] + (ends @ push)[:, 1:]
            points[:, 1:] = (
                moved * radii / np.maximum(np.linalg.norm(moved, axis=-1), 1e-9)[..., None]
            )
        return points[:, 1:]

    def is_free(self, positions: Array, species: Index) -> NDArray[np.bool_]:
        """Whether environments are without a pair that is closer than in the data, (n,)."""
        distances, _ = _distances(positions, species, self.first)
        return np.all(distances >= self._least(species) - TOLERANCE, axis=1)

    def _least(self, species: Index) -> Array:
        """Shortest distance of every pair of atoms, (n, n_pairs) in Å."""
        pairs = _pairs(species, self.first)
        least = np.zeros(pairs.shape)
        for pair, closest in self.closest.items():
            least[pairs == _code(*pair)] = closest
        return least


def _code(one: int, other: int) -> int:
    """One number for a pair of elements in any order."""
    return 1000 * min(one, other) + max(one, other)


def _pairs(species: Index, first: int) -> Index:
    """Code of every pair of atoms, (n, n_pairs); the first atom is at the origin."""
    numbers = np.concatenate([np.full((len(species), 1), first), species], axis=1)
    i, j = np.triu_indices(numbers.shape[1], 1)
    low, high = np.minimum(numbers[:, i], numbers[:, j]), np.maximum(numbers[:, i], numbers[:, j])
    return 1000 * low + high


def _distances(positions: Array, species: Index, first: int) -> tuple[Array, Index]:
    """Distance and code of every pair of atoms, (n, n_pairs) each; the origin is an atom."""
    points = np.concatenate([np.zeros((len(positions), 1, 3)), positions], axis=1)
    i, j = np.triu_indices(points.shape[1], 1)
    return np.linalg.norm(points[:, i] - points[:, j], axis=-1), _pairs(species, first)
