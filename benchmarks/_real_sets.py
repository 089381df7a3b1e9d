"""The real trajectories of `benchmarks.real`, and hand-made features of their targets.

Public: :class:`RealSet`, :func:`real_set`, :data:`SETS`, :func:`argyrodite`,
:func:`electrolyte_in_time`, :func:`sorted_distances`, :func:`soap`.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from dscribe.descriptors import SOAP
from numpy.typing import NDArray

from graphkoopman import Trajectory, read_trajectory
from graphkoopman.trajectories import minimum_image

PER_SPECIES, FARTHEST = 6, 10.0  # sorted distances, Å
SOAP_CUTOFF, SOAP_N, SOAP_L = 5.0, 2, 2  # Å; small, since seven species make 315 numbers of it
TRAINING_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class RealSet:
    """Runs to train on, later or other runs to test on, and what is asked of them.

    Attributes
    ----------
    training, test : list of Trajectory
    targets : str, list of list of int, or None
        Of `graphkoopman.GraphFeaturizer`; None takes the trajectories' own.
    atoms : list of int
        The first atom of every target.
    lagtime : int
        Frames.
    n_neighbors : int
    """

    training: list[Trajectory]
    test: list[Trajectory]
    targets: str | list[list[int]] | None
    atoms: list[int]
    lagtime: int
    n_neighbors: int = 20


def real_set(name: str, data: Path) -> RealSet:
    """One of :data:`SETS` from the folder of the data."""
    return SETS[name](data)


def _electrolyte(data: Path, training: str, test: str) -> RealSet:
    """Lithium in a polymer: two independent runs, one to train on and one to test on."""
    top = data / "md" / "peo_litfsi.pdb"
    runs = [read_trajectory(data / "md" / f"{name}.npz", top=top) for name in (training, test)]
    lithium = np.flatnonzero(runs[0].species == atomic_numbers["Li"]).tolist()
    return RealSet(runs[:1], runs[1:], "element Li", lithium, 10)


def electrolyte_in_time(data: Path, name: str) -> RealSet:
    """One run of the polymer, the last fifth of its frames to test on."""
    run = read_trajectory(data / "md" / f"{name}.npz", top=data / "md" / "peo_litfsi.pdb")
    lithium = np.flatnonzero(run.species == atomic_numbers["Li"]).tolist()
    return RealSet(*_in_time([run]), "element Li", lithium, 10)


def _silicon(data: Path, name: str) -> RealSet:
    """Silicon that a face of the crystal reaches, by the label that comes with the file."""
    path = data / "md" / f"{name}.npz"
    run = read_trajectory(path)
    with np.load(path) as archive:
        silicon, solid = archive["si_index"], archive["is_solid"].astype(bool)
    targets = silicon[~solid.all(axis=0)]
    run = Trajectory(run.positions, run.cell, run.species, timestep=run.timestep, targets=targets)
    return RealSet(*_in_time([run]), None, targets.tolist(), 20)


def argyrodite(data: Path, name: str) -> RealSet:
    """The files of a composition are consecutive pieces; where lithium jumps a new run begins."""
    files = sorted((data / "argyrodite").glob(f"Li6PS5{name}_run*.XDATCAR.gz"))
    pieces = [read_trajectory(path, timestep=0.1) for path in files]
    runs = [[pieces[0]]]
    for before, after in itertools.pairwise(pieces):
        inside = _lithium_step(before.positions[-2], before.positions[-1], before)
        seam = _lithium_step(before.positions[-1], after.positions[0], before)
        if seam < 1.5 * inside:
            runs[-1].append(after)
        else:
            runs.append([after])
    whole = [
        Trajectory(
            np.concatenate([piece.positions for piece in run]),
            run[0].cell,
            run[0].species,
            timestep=0.1,
        )
        for run in runs
    ]
    lithium = np.flatnonzero(whole[0].species == atomic_numbers["Li"]).tolist()
    return RealSet(*_in_time(whole), "element Li", lithium, 20)


def _lithium_step(before: NDArray, after: NDArray, run: Trajectory) -> float:
    """Mean distance that lithium moves between two frames, Å."""
    steps = minimum_image(after - before, run.cell)
    return float(np.linalg.norm(steps[run.species == atomic_numbers["Li"]], axis=1).mean())


def _lgps(data: Path) -> RealSet:
    """Li10GeP2S12 from a structure and unwrapped displacements."""
    content = json.loads((data / "lgps" / "pymatgen_DiffusionAnalyzer.json").read_text())
    sites = content["structure"]["sites"]
    cell = np.array(content["structure"]["lattice"]["matrix"])
    elements = [site["species"][0]["element"].rstrip("+-0123456789") for site in sites]
    species = np.array([atomic_numbers[element] for element in elements])
    start = np.array([site["abc"] for site in sites]) @ cell
    positions = start + np.array(content["displacements"]).transpose(1, 0, 2)
    run = Trajectory(positions, cell, species, timestep=0.02)
    lithium = np.flatnonzero(species == atomic_numbers["Li"]).tolist()
    return RealSet(*_in_time([run]), "element Li", lithium, 50)


def _water(data: Path) -> RealSet:
    """Molecules as targets; the times in the file are wrong."""
    run = read_trajectory(
        data / "md" / "water.xtc",
        top=data / "md" / "water.pdb",
        timestep=0.04,
        stride=5,
        ignore_times=True,
    )
    molecules = [[atom.index for atom in residue.atoms] for residue in run.topology.residues]
    return RealSet(*_in_time([run]), molecules, [first for first, *_ in molecules], 5, 12)


def _in_time(runs: list[Trajectory]) -> tuple[list[Trajectory], list[Trajectory]]:
    """The first frames to train on, the last to test on."""
    left = round(TRAINING_SHARE * sum(map(len, runs)))
    training, test = [], []
    for run in runs:
        n = min(left, len(run))
        training += [run[:n]] if n else []
        test += [run[n:]] if n < len(run) else []
        left -= n
    return training, test


SETS: dict[str, Callable[[Path], RealSet]] = {
    "peo 8→7": lambda data: _electrolyte(data, "peo_litfsi_seed8", "peo_litfsi"),
    "peo 7→8": lambda data: _electrolyte(data, "peo_litfsi", "peo_litfsi_seed8"),
    "si_sw": lambda data: _silicon(data, "si_sw"),
    "siau": lambda data: _silicon(data, "siau"),
    "argyrodite Cl 50 %": lambda data: argyrodite(data, "Cl_50p"),
    "argyrodite I 100 %": lambda data: argyrodite(data, "I_100p"),
    "lgps": _lgps,
    "water": _water,
}


def sorted_distances(
    run: Trajectory, atoms: list[int], farthest: float = FARTHEST
) -> NDArray[np.float64]:
    """Distances to the nearest atoms of every species, (n_frames, n_targets, n_features), Å.

    Those beyond ``farthest`` are all as long as it.
    """
    kinds = np.unique(run.species)
    frames = []
    for frame in range(len(run)):
        arms = run.positions[frame] - run.positions[frame][atoms][:, None]
        lengths = np.linalg.norm(minimum_image(arms, _cell(run, frame)), axis=-1)
        lengths[np.arange(len(atoms)), atoms] = np.inf
        columns = []
        for kind in kinds:
            those = lengths[:, run.species == kind]
            n = min(PER_SPECIES, those.shape[1])
            columns.append(np.sort(np.partition(those, n - 1, axis=1)[:, :n], axis=1))
        frames.append(np.minimum(np.concatenate(columns, axis=1), farthest))
    return np.stack(frames)


def soap(run: Trajectory, atoms: list[int]) -> NDArray[np.float64]:
    """Power spectra of the surroundings by dscribe, (n_frames, n_targets, n_features)."""
    descriptor = _soap(tuple(np.unique(run.species).tolist()))
    return np.stack(
        [
            descriptor.create(
                Atoms(
                    run.species, positions=run.positions[frame], cell=_cell(run, frame), pbc=True
                ),
                centers=atoms,
            )
            for frame in range(len(run))
        ]
    )


@cache
def _soap(species: tuple[int, ...]) -> SOAP:
    return SOAP(
        species=species, r_cut=SOAP_CUTOFF, n_max=SOAP_N, l_max=SOAP_L, periodic=True, sparse=False
    )


def _cell(run: Trajectory, frame: int) -> NDArray[np.float64]:
    return run.cell if run.cell.ndim == 2 else run.cell[frame]
