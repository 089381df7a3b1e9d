"""Plain numbers of a target's surroundings: `OrderParameter`, `order_parameters`.

Coordination numbers and nearest distances of each species, and asymmetry and bond order of the
species in direct contact; radius of gyration of molecules; charge of the first shell; position in
a slab. Radii come from the radial distributions of the data.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.structure._blocks import Division
from graphkoopman.structure._first_shell import first_minimum
from graphkoopman.structure._inputs import Runs, StructureRun
from graphkoopman.structure._pairs import add_shell_sums
from graphkoopman.structure._species import other_atoms, resolve_species
from graphkoopman.structure._surroundings import add_surroundings
from graphkoopman.trajectories import (
    as_trajectories,
    minimum_image,
    resolve_targets,
    species_mass,
    whole_targets,
)

__all__ = ["OrderParameter", "Samples", "order_parameters", "shells_of", "species_by_residue"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

REACH = 8.0  # Å, up to which neighbours are looked for
FRAMES_FOR_SHELLS = 25  # of every block
BIN = 0.05
CONTACT = 1.3  # species whose first peak is this much farther than the nearest are in contact
BOND_ORDERS = ((3, 4), (6, 12))  # l and the nearest neighbours that count
SLAB_RATIO = 1.5  # a cell so much longer along one vector is taken for a slab
MOST_GROUPS = 6  # residue names beyond which atoms are told apart by element alone
AXES = "abc"


@dataclass(frozen=True)
class OrderParameter:
    """One number of a target in a frame.

    Attributes
    ----------
    name : str
        "O within 2.9 Å", "nearest O", "bond order q6 of the 12 nearest O", "position along c".
    unit : str
        Empty for numbers without one.
    kind : {"count", "distance", "shape", "position", "charge", "size", "given"}
    contact : bool
        Whether it counts atoms of a species in direct contact.
    """

    name: str
    unit: str
    kind: str
    contact: bool = False

    def condition(self, low: float, high: float) -> str:
        """What ``low < value <= high`` means, in words.

        Parameters
        ----------
        low, high : float
            Infinite where there is no such limit.
        """
        if self.kind == "count":
            return self._count(low, high)
        unit = f" {self.unit}" if self.unit else ""
        if np.isfinite(low) and np.isfinite(high):
            return f"{self.name} between {low:.3g} and {high:.3g}{unit}"
        if np.isfinite(low):
            return f"{self.name} above {low:.3g}{unit}"
        return f"{self.name} at most {high:.3g}{unit}"

    def _count(self, low: float, high: float) -> str:
        fewest = max(0, math.floor(low) + 1) if np.isfinite(low) else 0
        if not np.isfinite(high):
            return f"≥ {fewest} {self.name}"
        most = math.floor(high)
        if most == 0:
            return f"no {self.name}"
        if fewest == most:
            return f"{most} {self.name}"
        return f"{fewest} to {most} {self.name}" if fewest else f"≤ {most} {self.name}"


@dataclass(frozen=True, eq=False)
class Shells:
    """Species, and how far their first shells reach.

    Attributes
    ----------
    names : tuple of n_species str
    columns : list of n_runs ndarray of shape (n_atoms,)
        Species of every atom, -1 for none.
    radii : ndarray of shape (n_species,)
        First minimum of the radial distribution, Å; NaN for a species without a first shell.
    peaks : ndarray of shape (n_species,)
        Its first peak, Å.
    contact : ndarray of shape (n_species,), bool
        Whether the species is in direct contact, so that the shape of its shell says something.
    """

    names: tuple[str, ...]
    columns: list[NDArray[np.int64]]
    radii: Array
    peaks: Array
    contact: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Samples:
    """Order parameters of some targets in some frames.

    Attributes
    ----------
    values : ndarray of shape (n_samples, n_parameters)
    probs : ndarray of shape (n_samples, n_states)
    block : ndarray of shape (n_samples,)
        Number of the piece of time of each sample.
    parameters : tuple of OrderParameter
    division : Division
        The blocks.
    """

    values: Array
    probs: Array
    block: NDArray[np.int64]
    parameters: tuple[OrderParameter, ...]
    division: Division


def shells_of(runs: Runs, blocks: Division, species: Any) -> Shells | None:
    """First shell of each species around all targets; None where targets are all there is."""
    species = _by_residue(runs) if species is None else species
    try:
        names, columns = resolve_species(runs, species)
    except ValueError:
        if species is None:
            return None
        raise
    edges = np.linspace(0.0, REACH, round(REACH / BIN) + 1)
    counts = _shell_counts(runs, blocks, columns, (len(names), len(edges) - 1))
    found = [
        first_minimum(0.5 * (edges[1:] + edges[:-1]), row) for row in counts / np.diff(edges**3)
    ]
    peaks, radii = np.array(found).T
    light = np.array([_is_hydrogen(runs, columns, s) for s in range(len(names))])
    # hydrogen is nearer than anything it is bound to, and says nothing about contact
    near = np.where(light, np.nan, peaks)
    contact = near <= CONTACT * np.nanmin(near) if np.isfinite(near).any() else near > np.inf
    return Shells(names, columns, radii, peaks, contact)


def _shell_counts(
    runs: Runs,
    blocks: Division,
    columns: Sequence[NDArray[np.int64]],
    shape: tuple[int, int],
) -> Array:
    """Neighbours of all targets by species and distance, in a few frames of every block."""
    counts = np.zeros(shape)
    for block in blocks.blocks:
        run, column = runs[block.trajectory], columns[block.trajectory]
        # the first minimum needs few frames: each has all targets
        step = max(1, (block.stop - block.start) // FRAMES_FOR_SHELLS)
        for frame in range(block.start, block.stop, step):
            scene = _scene(run, frame, column, np.ones(run.trajectory.n_atoms))
            centers = run.centers(frame, frame + 1)
            add_shell_sums(
                scene.positions[None], scene.cell[None] if len(scene.cell) else np.empty((0, 3, 3)),
                centers, scene.owners, scene.columns, scene.weights,
                np.ones((*centers.shape[:2], 1)), REACH, counts[None],
            )  # fmt: skip
    return counts


class _Scene(NamedTuple):
    """One frame, repeated until a sphere of `REACH` holds no atom and its own image."""

    positions: Array  # (n, 3)
    cell: Array  # (3, 3), or (0, 3) without one
    owners: NDArray[np.int64]  # (n,)
    columns: NDArray[np.int64]
    weights: Array


def _scene(run: StructureRun, frame: int, columns: NDArray[np.int64], weights: Array) -> _Scene:
    positions = np.array(run.trajectory.positions[frame], dtype=np.float64)
    cells = run.trajectory.cells
    if cells is None:
        return _Scene(positions, np.empty((0, 3)), run.owners(), columns, weights)
    cell = np.array(cells[frame])
    # a sphere of REACH sees one image of an atom where every height is twice its radius
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    repeats = np.ceil(2.0 * REACH / heights).astype(int)
    n = int(repeats.prod())
    if n == 1:
        return _Scene(positions, cell, run.owners(), columns, weights)
    atoms = run.targets.atoms
    centers = run.centers(frame, frame + 1)[0][run.owners()[atoms]]
    # whole molecules: their own atoms, and not images of these, are in the first copy
    positions[atoms] = centers + minimum_image(positions[atoms] - centers, cell)
    shifts = np.array(list(np.ndindex(*repeats))) @ cell
    # an image of a target's own atom is a neighbour like any other
    owners = np.concatenate([run.owners(), np.full((n - 1) * len(positions), -1)])
    return _Scene(
        (shifts[:, None] + positions).reshape(-1, 3), repeats[:, None] * cell, owners,
        np.tile(columns, n), np.tile(weights, n),
    )  # fmt: skip


def order_parameters(
    runs: Runs,
    blocks: Division,
    shells: Shells | None,
    *,
    charges: Sequence[Array] | None,
    axis: int | None,
    given: Mapping[str, Sequence[Array]],
    max_samples: int,
) -> Samples:
    """Order parameters of targets in frames spread over the data.

    Parameters
    ----------
    runs, blocks : sequences
    shells : Shells or None
    charges : sequence of n_runs ndarray of shape (n_atoms,) or None
        e.
    axis : int or None
        Cell vector along which the position counts.
    given : mapping of str to sequence of n_runs ndarray of shape (n_frames, n_targets)
        Order parameters of the user's own.
    max_samples : int

    Returns
    -------
    Samples
    """
    parameters, plans = _parameters(runs, shells, charges is not None, axis, given)
    total = sum(run.n_frames * run.n_targets for run in runs)
    share = min(1.0, max_samples / total)
    values, probs, numbers = [], [], []
    for k, block in enumerate(blocks):
        run, i = runs[block.trajectory], block.trajectory
        # all targets of few frames, or few targets where there are very many
        n_frames = max(2, round(share * (block.stop - block.start)))
        frames = np.unique(np.linspace(block.start, block.stop - 1, n_frames).round().astype(int))
        most = max(1, round(share * (block.stop - block.start) * run.n_targets / len(frames)))
        chosen = np.unique(np.linspace(0, run.n_targets - 1, most).round().astype(int))
        columns = [column(run, i, frames, chosen, charges, shells) for column in plans]
        rows = len(frames) * len(chosen)
        values.append(np.concatenate([column.reshape(rows, -1) for column in columns], axis=1)
                      if columns else np.empty((rows, 0)))  # fmt: skip
        probs.append(run.probs[frames][:, chosen].reshape(rows, -1).astype(np.float64))
        numbers.append(np.full(rows, k))
    a, b, c = (np.concatenate(parts) for parts in (values, probs, numbers))
    return Samples(a, b, c, tuple(parameters), blocks)


Plan = Callable[[StructureRun, int, Indices, Indices, Any, Any], Array]


def _parameters(
    runs: Runs,
    shells: Shells | None,
    charged: bool,
    axis: int | None,
    given: Mapping[str, Sequence[Array]],
) -> tuple[list[OrderParameter], list[Plan]]:
    """Names of all columns, and the functions that make them."""
    parameters: list[OrderParameter] = []
    plans: list[Plan] = []
    if shells is not None:
        bonds = [_bond_orders(runs, shells, s) for s in range(len(shells.names))]
        for s, name in enumerate(shells.names):
            parameters += _of_species(name, float(shells.radii[s]), shells.contact[s], bonds[s])
        if charged:
            parameters.append(OrderParameter("charge inside the first shells", "e", "charge"))
        plans.append(_surroundings(bonds, charged))
    if any(len(run.targets.atoms) > run.n_targets for run in runs):
        parameters.append(OrderParameter("radius of gyration", "Å", "size"))
        parameters.append(OrderParameter("largest distance inside", "Å", "size"))
        plans.append(_molecule_sizes)
    if axis is not None:
        parameters.append(OrderParameter(f"position along {AXES[axis]}", "Å", "position"))
        plans.append(_positions_along(axis))
    for name, arrays in given.items():
        parameters.append(OrderParameter(name, "", "given"))
        plans.append(_of_user(arrays))
    return parameters, plans


def _of_species(
    name: str, radius: float, contact: bool, bonds: Sequence[tuple[int, int]]
) -> Iterator[OrderParameter]:
    if np.isfinite(radius):
        yield OrderParameter(f"{name} within {radius:.1f} Å", "", "count", bool(contact))
    yield OrderParameter(f"distance of the nearest {name}", "Å", "distance")
    if contact and np.isfinite(radius):
        yield OrderParameter(f"asymmetry of the {name} shell", "", "shape")
    for order, n in bonds:
        yield OrderParameter(f"bond order q{order} of the {n} nearest {name}", "", "shape")


def _bond_orders(runs: Runs, shells: Shells, s: int) -> list[tuple[int, int]]:
    """Bond orders that make sense: of species in contact with atoms enough."""
    if not shells.contact[s]:
        return []
    n_species = len(shells.names)
    fewest = min(
        int(other_atoms(run, column, n_species)[:, s].min())
        for run, column in zip(runs, shells.columns, strict=True)
    )
    return [(order, n) for order, n in BOND_ORDERS if fewest >= 2 * n]


def _surroundings(bonds: Sequence[Sequence[tuple[int, int]]], charged: bool) -> Plan:
    def columns(
        run: StructureRun, i: int, frames: Indices, chosen: Indices, charges: Any, shells: Any
    ) -> Array:
        width = 3 + len(BOND_ORDERS)
        n_species = len(shells.names)
        raw = np.zeros((len(frames), len(chosen), n_species * width + 1))
        weights = charges[i] if charged else np.zeros(run.trajectory.n_atoms)
        radii = np.where(np.isfinite(shells.radii), shells.radii, 0.0)
        shapes = np.array([[(order, n) in bond for order, n in BOND_ORDERS] for bond in bonds])
        for row, frame in enumerate(frames):
            scene = _scene(run, frame, shells.columns[i], weights)
            add_surroundings(
                scene.positions, scene.cell, run.centers(frame, frame + 1)[0][chosen], chosen,
                scene.owners, scene.columns, scene.weights, radii, REACH, shapes,
                np.array(BOND_ORDERS), raw[row],
            )  # fmt: skip
        if charged:
            own = np.zeros(run.n_targets)
            np.add.at(own, run.owners()[run.targets.atoms], charges[i][run.targets.atoms])
            raw[..., -1] += own[chosen]
        return raw[..., _kept(shells, bonds, charged)]

    return columns


def _kept(
    shells: Shells, bonds: Sequence[Sequence[tuple[int, int]]], charged: bool
) -> NDArray[np.int64]:
    """Columns of the compiled loop that are order parameters, in the order of their names."""
    width, kept = 3 + len(BOND_ORDERS), []
    for s, radius in enumerate(shells.radii):
        if np.isfinite(radius):
            kept.append(s * width)
        kept.append(s * width + 1)
        if shells.contact[s] and np.isfinite(radius):
            kept.append(s * width + 2)
        kept += [s * width + 3 + BOND_ORDERS.index(bond) for bond in bonds[s]]
    if charged:
        kept.append(len(shells.names) * width)
    return np.array(kept, dtype=np.int64)


def _molecule_sizes(
    run: StructureRun, i: int, frames: NDArray[np.int64], chosen: NDArray[np.int64], *_: Any
) -> Array:
    """Radius of gyration and largest distance between atoms, (n_frames, n_targets, 2)."""
    sizes = np.zeros((len(frames), len(chosen), 2))
    groups = run.targets.groups()
    for column, target in enumerate(chosen):
        atoms = groups[target]
        masses = np.array([_mass(int(n)) for n in run.trajectory.species[atoms]])
        for row, frame in enumerate(frames):
            own = whole_targets(run.trajectory[frame : frame + 1], [atoms])[0]
            arms = own - masses @ own / masses.sum()
            sizes[row, column, 0] = np.sqrt(masses @ np.square(arms).sum(axis=1) / masses.sum())
            spans = np.linalg.norm(own[:, None] - own, axis=-1)
            sizes[row, column, 1] = spans.max()
    return sizes


def _positions_along(axis: int) -> Plan:
    def column(run: StructureRun, i: int, frames: Indices, chosen: Indices, *_: Any) -> Array:
        centers = np.stack([run.centers(f, f + 1)[0][chosen] for f in frames])
        cells = np.asarray(run.trajectory.cells)[frames]
        fractions = np.mod((centers @ np.linalg.inv(cells))[..., axis], 1.0)
        heights = 1.0 / np.linalg.norm(np.linalg.inv(cells)[..., axis], axis=-1)
        return fractions * heights[:, None]

    return column


def _of_user(arrays: Sequence[Array]) -> Plan:
    def column(run: StructureRun, i: int, frames: Indices, chosen: Indices, *_: Any) -> Array:
        return arrays[i][frames][:, chosen]

    return column


def slab_axis(runs: Runs) -> int | None:
    """Cell vector along which the cell is by far the longest, or None."""
    cells = [run.trajectory.cells for run in runs]
    if any(cell is None for cell in cells):
        return None
    firsts = np.array([cell[0] for cell in cells if cell is not None])
    heights = np.mean(1.0 / np.linalg.norm(np.linalg.inv(firsts), axis=1), axis=0)
    *_, second, longest = np.sort(heights)
    return int(heights.argmax()) if longest >= SLAB_RATIO * second else None


def species_by_residue(trajs: Any, targets: Any) -> dict[str, Any] | None:
    """Elements told apart by the name of their residue, for ``species`` of `state_rdf`.

    Parameters
    ----------
    trajs : Trajectory, mdtraj.Trajectory, or list of these
    targets : str, array-like, list of array-like, callable or None
        See `resolve_targets`.

    Returns
    -------
    dict of str to callable, or None
        Such as "O of PEO" and "O of TFS"; None without a topology, where no element is in two kinds
        of residues, or where there are more than six kinds.
    """
    runs = []
    for trajectory in as_trajectories(trajs):
        resolved = resolve_targets(targets, trajectory)
        probs = np.ones((len(trajectory), resolved.n_targets, 1))
        runs.append(StructureRun(trajectory, resolved, probs))
    return _by_residue(runs)


def _by_residue(runs: Runs) -> dict[str, Any] | None:
    """Elements told apart by the name of their residue, where few names share elements."""
    topologies = [run.trajectory.topology for run in runs]
    if any(topology is None for topology in topologies):
        return None
    kinds = [_kinds(topology) for topology in topologies]
    names = {residue for kind in kinds for _, residue in kind}
    elements = [element for element, _ in kinds[0]]
    if any(set(kind) != set(kinds[0]) for kind in kinds) or len(names) > MOST_GROUPS:
        return None
    if len(set(elements)) == len(elements):
        return None
    groups = {}
    for element, residue in sorted(kinds[0]):
        name = element if elements.count(element) == 1 else f"{element} of {residue}"
        groups[name] = _chooser(element, residue)
    # the groups are for the surroundings: a lone target has none of its own kind
    return {name: chooser for name, chooser in groups.items() if _has_others(runs, chooser)}


def _kinds(topology: md.Topology) -> list[tuple[str, str]]:
    return sorted({(a.element.symbol, a.residue.name) for a in topology.atoms if a.element})


def _chooser(element: str, residue: str) -> Callable[[Any], NDArray[np.int64]]:
    def atoms(trajectory: Any) -> NDArray[np.int64]:
        return np.array([
            a.index for a in trajectory.topology.atoms
            if a.element is not None and (a.element.symbol, a.residue.name) == (element, residue)
        ])  # fmt: skip

    return atoms


def _has_others(runs: Runs, chooser: Callable[[Any], NDArray[np.int64]]) -> bool:
    for run in runs:
        column = np.full(run.trajectory.n_atoms, -1, dtype=np.int64)
        column[chooser(run.trajectory)] = 0
        if other_atoms(run, column, 1).min() == 0:
            return False
    return True


def _is_hydrogen(runs: Runs, columns: Sequence[NDArray[np.int64]], s: int) -> bool:
    return all(
        (run.trajectory.species[column == s] == 1).all()
        for run, column in zip(runs, columns, strict=True)
    )


def _mass(number: int) -> float:
    return species_mass(number)
