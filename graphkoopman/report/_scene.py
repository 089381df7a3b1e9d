"""Atoms for the viewer and pictures of the states: `scene`, `cut_outs`, `picture`.

Positions are hundredths of Å as 16-bit integers, frames are few enough for the page to stay small.
"""

import base64
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from graphkoopman.plotting import COLORS
from graphkoopman.report._study import Study
from graphkoopman.structure import representative_frames
from graphkoopman.trajectories import Trajectory, height_limit, resolve_targets

__all__ = ["cut_outs", "picture", "scene"]

Array = NDArray[np.float64]

MOST_FRAMES = 100
MOST_ATOMS = 6000
BYTES_PER_ATOM = 6
SCALE = 100.0  # steps per Å
CUT_RADIUS = 4.5  # Å
BOND_REACH = 1.25  # times the sum of covalent radii (pm in the table)
RADII = {"H": 31, "Li": 128, "C": 76, "N": 71, "O": 66, "F": 57, "Na": 166, "Mg": 141, "Si": 111,
         "P": 107, "S": 105, "Cl": 102, "K": 203, "Br": 120, "I": 139, "Au": 136}  # fmt: skip
PLAIN_RADIUS = 120.0
ELEMENTS = {"H": "#d9d9d9", "C": "#6b6b6b", "N": "#5b7bd5", "O": "#d0453a", "F": "#7fbf7b",
            "Si": "#b8a27a", "P": "#d98a2b", "S": "#c9b52b", "Cl": "#58a558", "Br": "#9b4a3a",
            "I": "#7a4a8f", "Au": "#c79a1b", "Ar": "#7fc6d6", "Li": "#a58ac9"}  # fmt: skip
OTHER = "#9aa5b1"


def scene(study: Study, budget: int) -> dict[str, Any]:
    """One run as the viewer takes it.

    Parameters
    ----------
    study : Study
    budget : int
        Bytes that positions may take.

    Returns
    -------
    dict
        For JSON.
    """
    number = _liveliest(study)
    trajectory, probs = study.trajectories[number], study.probabilities[number]
    targets = resolve_targets(study.targets, trajectory)
    atoms = _shown(trajectory, targets.atoms)
    n_frames = min(MOST_FRAMES, len(trajectory), max(1, budget // (BYTES_PER_ATOM * len(atoms))))
    frames = np.linspace(0, len(trajectory) - 1, n_frames).round().astype(int)
    owner = np.full(trajectory.n_atoms, -1)
    owner[targets.atoms] = np.repeat(np.arange(targets.n_targets), np.diff(targets.offsets))
    coordinates = np.stack([_wrapped(trajectory, frame)[atoms] for frame in frames])
    # keep within 16 bits, whatever the size of the system
    origin = 0.5 * (coordinates.max(axis=(0, 1)) + coordinates.min(axis=(0, 1)))
    scale = min(SCALE, 32000.0 / max(1.0, float(np.abs(coordinates - origin).max())))
    steps = np.round((coordinates - origin) * scale).astype("<i2")
    cells = trajectory.cells
    return {
        "run": number,
        "times": [round((trajectory.start + int(f)) * trajectory.timestep, 6) for f in frames],
        "elements": [_symbol(int(n)) for n in trajectory.species[atoms]],
        "owner": owner[atoms].tolist(),
        "origin": origin.tolist(),
        "scale": scale,
        "positions": base64.b64encode(steps.tobytes()).decode(),
        "states": probs[frames].argmax(axis=2).tolist(),
        "certainty": np.round(probs[frames].max(axis=2), 2).tolist(),
        "cell": None if cells is None else np.round(cells[frames], 4).tolist(),
        "bonds": _bonds(trajectory, atoms),
        "colors": COLORS,
        "nStates": study.n_states,
        "hidden": len(atoms) < trajectory.n_atoms,
    }


def cut_outs(study: Study) -> list[list[dict[str, Any]]]:
    """Atoms around the clearest target of each state; an empty list for a state without one."""
    radius = min(CUT_RADIUS, *(height_limit(item) for item in study.trajectories))
    found: list[list[dict[str, Any]]] = []
    for state in range(study.n_states):
        if not any((p.argmax(axis=2) == state).any() for p in study.probabilities):
            found.append([])
            continue
        (cut,) = representative_frames(*study.data, state, n=1, radius=radius)
        positions = 10.0 * cut.xyz[0]
        distances = np.linalg.norm(positions, axis=1)
        own = _own_atoms(cut, distances, study)
        found.append(
            [
                {"elem": atom.element.symbol, "x": round(float(x), 3), "y": round(float(y), 3),
                 "z": round(float(z), 3), "own": bool(own[atom.index])}
                for atom, (x, y, z) in zip(cut.topology.atoms, positions, strict=True)
            ]
        )  # fmt: skip
    return found


def picture(atoms: list[dict[str, Any]], color: str, title: str) -> str:
    """A cut-out as a small SVG: far atoms first, bonds by distance."""
    if not atoms:
        return ""
    points = np.array([[a["x"], a["y"], a["z"]] for a in atoms])
    # seen along the direction in which the atoms spread least
    _, _, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    turned = (points - points.mean(axis=0)) @ axes.T if len(points) > 2 else points
    reach = max(2.0, 1.15 * float(np.abs(turned[:, :2]).max()) + 0.6)
    shapes: list[tuple[float, str]] = []
    for i, j in _near_pairs(points, [a["elem"] for a in atoms]):
        (x1, y1, z1), (x2, y2, z2) = turned[i], turned[j]
        shapes.append(
            (min(z1, z2) - 0.01, f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"/>')
        )
    for atom, (x, y, z) in zip(atoms, turned, strict=True):
        size = (0.42 if atom["own"] else 0.24) + 0.0012 * RADII.get(atom["elem"], PLAIN_RADIUS)
        fill = color if atom["own"] else ELEMENTS.get(atom["elem"], OTHER)
        shapes.append(
            (z, f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{size:.2f}" fill="{fill}"><title>'
                f'{atom["elem"]}</title></circle>')
        )  # fmt: skip
    body = "".join(text for _, text in sorted(shapes, key=lambda shape: shape[0]))
    box = f"{-reach:.2f} {-reach:.2f} {2 * reach:.2f} {2 * reach:.2f}"
    return f'<svg class="cut" viewBox="{box}" role="img" aria-label="{title}">{body}</svg>'


def _liveliest(study: Study) -> int:
    """Run in which most changes of state are seen."""
    changes = [
        int(np.diff(p.argmax(axis=2), axis=0).astype(bool).sum()) for p in study.probabilities
    ]
    return int(np.argmax(changes))


def _shown(trajectory: Trajectory, own: NDArray[np.int64]) -> NDArray[np.int64]:
    """All atoms, or the targets and what is nearest to them where there are too many."""
    if trajectory.n_atoms <= MOST_ATOMS:
        return np.arange(trajectory.n_atoms)
    if len(own) >= MOST_ATOMS:
        return np.sort(own)[:: -(-len(own) // MOST_ATOMS)]
    from scipy.spatial import cKDTree

    positions = trajectory.positions[0].astype(np.float64)
    distances, _ = cKDTree(positions[own]).query(positions)
    return np.sort(np.argsort(distances, kind="stable")[:MOST_ATOMS])


def _wrapped(trajectory: Trajectory, frame: int) -> Array:
    positions = trajectory.positions[frame].astype(np.float64)
    if trajectory.cells is None:
        return positions
    cell = trajectory.cells[frame]
    return np.mod(positions @ np.linalg.inv(cell), 1.0) @ cell


def _bonds(trajectory: Trajectory, atoms: NDArray[np.int64]) -> list[list[int]]:
    """Pairs of shown atoms that the topology binds."""
    if trajectory.topology is None:
        return []
    place = np.full(trajectory.n_atoms, -1)
    place[atoms] = np.arange(len(atoms))
    pairs = [(place[a.index], place[b.index]) for a, b in trajectory.topology.bonds]
    return [[int(i), int(j)] for i, j in pairs if i >= 0 and j >= 0]


def _own_atoms(cut: md.Trajectory, distances: Array, study: Study) -> NDArray[np.bool_]:
    """The target's own atoms: it is at the origin, and a molecule is the residue there."""
    nearest = int(distances.argmin())
    resolved = resolve_targets(study.targets, study.trajectories[0])
    size = int(np.diff(resolved.offsets)[0])
    own = np.zeros(len(distances), dtype=bool)
    own[np.argsort(distances, kind="stable")[:size] if size > 1 else nearest] = True
    return own


def _near_pairs(points: Array, elements: list[str]) -> list[tuple[int, int]]:
    radii = np.array([RADII.get(element, PLAIN_RADIUS) for element in elements]) / 100.0
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    near = np.triu(distances < BOND_REACH * (radii[:, None] + radii), 1)
    return [(int(i), int(j)) for i, j in np.argwhere(near)]


def _symbol(number: int) -> str:
    return str(md.element.Element.getByAtomicNumber(number).symbol)
