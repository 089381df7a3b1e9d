"""`inspect`: what was understood of a trajectory, and what of it is implausible."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories._basis import follow_basis
from graphkoopman.trajectories._distances import shortest_distances
from graphkoopman.trajectories._fractions import check_not_fractional
from graphkoopman.trajectories._motion import Motion, inside_cell, motion_of
from graphkoopman.trajectories._source import Source
from graphkoopman.trajectories._species import species_label, species_mass
from graphkoopman.trajectories._trajectory import Trajectory, height_limit
from graphkoopman.trajectories._validation import check_integer
from graphkoopman.trajectories.objects._registry import as_trajectory

GRAMS_PER_DALTON_PER_CUBIC_ANGSTROM = 1.66053907
DENSITIES = 0.05, 25.0  # g/cm³, of a thin vapour over a slab and of the densest metal
SHORTEST = 0.5  # Å
DRIFT = 1.0  # Å, that is worth a word
SAMPLED = 5  # frames in which distances are measured


@dataclass(frozen=True)
class Finding:
    """Something implausible, and what to do about it."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


@dataclass(frozen=True, eq=False, repr=False)
class TrajectoryReport:
    """What was understood of a trajectory, see `inspect`.

    Attributes
    ----------
    name, reader : str
        File, and what read it; or the kind of object.
    n_frames, n_atoms : int
    timestep : float
        ps per frame.
    timestep_from : str
        Where the timestep comes from.
    cell : ndarray of shape (3, 3) or None
        Mean lattice vectors in the basis of the first frame, Å.
    cell_from : str
        Where the cell comes from.
    cell_change : float
        Largest relative change of a length of the cell against the first frame.
    n_flips : int
        Times that lattice vectors are exchanged for others of the same lattice.
    elements : dict of str to int
        Atoms of each element, or other kind.
    guesses : dict of str to str
        Name → element, of those that only a name suggests.
    density : float or None
        Mean, g/cm³; None without a cell.
    shortest : dict of (str, str) to float
        Shortest distance of each pair of elements in a few frames, Å.
    wrapped : str
        Whether atoms are wrapped into the cell.
    motion : Motion
        Largest step, drift, frames that are repeated, atoms that never move.
    findings : tuple of Finding
        What is implausible, each with a remedy.
    """

    name: str
    reader: str
    n_frames: int
    n_atoms: int
    timestep: float
    timestep_from: str
    cell: NDArray[np.float64] | None
    cell_from: str
    cell_change: float
    n_flips: int
    elements: Mapping[str, int]
    guesses: Mapping[str, str]
    density: float | None
    shortest: Mapping[tuple[str, str], float]
    wrapped: str
    motion: Motion
    findings: tuple[Finding, ...] = field(default=())

    @property
    def plausible(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def periodicity(self) -> str:
        """The cell in words: "periodic, 23.3 × 23.3 × 23.3 Å" or "not periodic"."""
        if self.cell is None:
            return "not periodic"
        lengths, angles = lengths_and_angles(self.cell)
        text = "periodic, " + " × ".join(f"{length:.3g}" for length in lengths) + " Å"
        if np.abs(angles - 90.0).max() > 0.01:
            text += ", " + ", ".join(f"{angle:.4g}" for angle in angles) + "°"
        if self.cell_change > 1e-6:
            text += f", changing by {self.cell_change:.2g}"
        return text

    def line(self) -> str:
        """Everything that matters most, in one line."""
        atoms = " ".join(f"{symbol}{count}" for symbol, count in self.elements.items())
        density = "" if self.density is None else f", {self.density:.3g} g/cm³"
        more = "" if self.plausible else f"; {len(self.findings)} implausible, see inspect"
        return (
            f"{self.n_frames} frames of {self.timestep:g} ps, {self.n_atoms} atoms ({atoms}), "
            f"{self.periodicity}{density}{more}"
        )

    def __str__(self) -> str:
        rows = [("reader", self.reader), *self._rows()]
        width = max(len(name) for name, _ in rows)
        lines = [f"{self.name}", *(f"  {name.ljust(width)}  {text}" for name, text in rows)]
        lines += [f"  implausible: {finding}" for finding in self.findings]
        return "\n".join(lines)

    __repr__ = __str__

    def _rows(self) -> list[tuple[str, str]]:
        motion = self.motion
        duration = (self.n_frames - 1) * self.timestep
        advice = " (--drift system takes it out)" if motion.drift > DRIFT else ""
        at = "frame {}, atom {}".format(*motion.largest_step_at)
        atoms = ", ".join(f"{count} {symbol}" for symbol, count in self.elements.items())
        guessed = ", ".join(f"{name} → {symbol}" for name, symbol in self.guesses.items())
        near = [f"{one}–{other} {distance:.3g}" for (one, other), distance in self.shortest.items()]
        rows = [
            ("frames", f"{self.n_frames}, over {duration:g} ps"),
            ("time step", f"{self.timestep:g} ps, from {self.timestep_from}"),
            ("cell", f"{self.periodicity} (from {self.cell_from})"),
            ("atoms", f"{self.n_atoms}: {atoms}"),
            ("guessed elements", guessed or "none"),
            ("density", "–" if self.density is None else f"{self.density:.4g} g/cm³"),
            ("shortest distances / Å", ", ".join(near) or "–"),
            ("positions", self.wrapped),
            ("largest step", f"{motion.largest_step:.3g} Å, at {at}" if motion.n_steps else "–"),
            ("drift", f"{motion.drift:.3g} Å of the centre of mass{advice}"),
            ("identical frames", str(motion.n_repeated)),
        ]
        if self.n_flips:
            rows.insert(3, ("box flips", str(self.n_flips)))
        return rows


def inspect(traj: Any, *, max_frames: int | None = None) -> TrajectoryReport:
    """What was understood of a trajectory, before any work is done with it.

    Parameters
    ----------
    traj : Trajectory, or any object that `as_trajectory` takes
    max_frames : int or None
        So many frames are looked at for steps, drift and repetitions, in a few stretches of the
        run; None is all.

    Returns
    -------
    TrajectoryReport
        Print it, or read its ``findings``: what is implausible, each with a remedy.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.trajectories import inspect
    >>> sites = 3.0 * np.indices((3, 3, 3)).reshape(3, 27).T
    >>> shaking = sites + np.random.default_rng(0).normal(0, 0.05, (50, 27, 3))
    >>> argon = Trajectory(shaking, 9 * np.eye(3), [18] * 27, timestep=1.0)
    >>> inspect(argon).line()
    '50 frames of 1 ps, 27 atoms (Ar27), periodic, 9 × 9 × 9 Å, 2.46 g/cm³'
    """
    run = as_trajectory(traj)
    if max_frames is not None:
        max_frames = check_integer(max_frames, "max_frames", 2)
    source = run.source or Source(name=type(traj).__name__, format="object in memory")
    motion = motion_of(run, max_frames)
    cells = _followed(run)
    numbers, counts = np.unique(run.species, return_counts=True)
    report = TrajectoryReport(
        name=source.name,
        reader=source.format,
        n_frames=run.n_frames,
        n_atoms=run.n_atoms,
        timestep=run.timestep,
        timestep_from=_timestep_from(source),
        cell=None if cells is None else cells.mean(axis=0),
        cell_from=_cell_from(run, source),
        cell_change=_change(cells),
        n_flips=_flips(run, cells),
        elements={species_label(n): int(k) for n, k in zip(numbers, counts, strict=True)},
        guesses=dict(source.guesses),
        density=_density(run),
        shortest=_shortest(run),
        wrapped=_wrapped(run, motion),
        motion=motion,
    )
    return _with_findings(report, run)


def lengths_and_angles(cell: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lengths in Å and angles alpha, beta, gamma in degrees of a cell."""
    lengths = np.linalg.norm(cell, axis=1)
    cosines = (cell @ cell.T) / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos(np.clip(cosines[[1, 0, 0], [2, 2, 1]], -1, 1)))
    return lengths, angles


def _followed(run: Trajectory) -> NDArray[np.float64] | None:
    """Cells of all frames in the basis of the first; as they are where that is not possible."""
    if run.cell is None:
        return None
    if run.cell.ndim == 2:
        return run.cell[None]
    try:
        return follow_basis(run.cell, run.cell[0])
    except ValueError:
        return np.asarray(run.cell)


def _change(cells: NDArray[np.float64] | None) -> float:
    if cells is None:
        return 0.0
    lengths = np.linalg.norm(cells, axis=2)
    return float(np.abs(lengths / lengths[0] - 1).max())


def _flips(run: Trajectory, cells: NDArray[np.float64] | None) -> int:
    if run.cell is None or cells is None or run.cell.ndim == 2:
        return 0
    apart = np.abs(cells - run.cell).max(axis=(1, 2)) > 1e-6
    return int(np.count_nonzero(np.diff(apart.astype(int), prepend=0)))


def _density(run: Trajectory) -> float | None:
    """Mass over mean volume, g/cm³."""
    if run.cell is None:
        return None
    numbers, counts = np.unique(run.species, return_counts=True)
    mass = sum(species_mass(n) * k for n, k in zip(numbers, counts, strict=True))
    volume = float(np.mean(np.abs(np.linalg.det(run.cell))))
    return float(GRAMS_PER_DALTON_PER_CUBIC_ANGSTROM * mass / volume)


def _shortest(run: Trajectory) -> dict[tuple[str, str], float]:
    found: dict[tuple[int, int], float] = {}
    for frame in np.unique(np.linspace(0, run.n_frames - 1, SAMPLED).astype(int)).tolist():
        cell = None if run.cells is None else run.cells[frame]
        for pair, distance in shortest_distances(run.positions[frame], cell, run.species).items():
            found[pair] = min(distance, found.get(pair, np.inf))
    return {(species_label(a), species_label(b)): value for (a, b), value in sorted(found.items())}


def _wrapped(run: Trajectory, motion: Motion) -> str:
    if run.cells is None:
        return "not periodic"
    if run.unwrapped:
        return "unwrapped, as the file says"
    frames = np.unique(np.linspace(0, run.n_frames - 1, SAMPLED).astype(int)).tolist()
    inside = all(inside_cell(run.positions[k], run.cells[k]) for k in frames)
    if inside:
        return "wrapped into the cell" if motion.n_crossings else "in the cell, nothing crosses it"
    if motion.n_crossings:
        return "wrapped, around another origin or with whole molecules"
    return "unwrapped: beyond the cell, without jumps"


def _timestep_from(source: Source) -> str:
    return {
        "times": "the times of the file",
        "steps and timestep=": "timestep=, with the steps of the file",
        "timestep=": "timestep=",
        "unknown": "its maker",
    }[source.timestep]


def _cell_from(run: Trajectory, source: Source) -> str:
    if run.source is None:
        return "its maker"
    return {"file": "the file", "topology": "the topology", "none": "nothing"}.get(
        source.cell, source.cell
    )


def _with_findings(report: TrajectoryReport, run: Trajectory) -> TrajectoryReport:
    findings = [
        *_fractional(run),
        *_of_density(report),
        *_of_distances(report),
        *_of_motion(report, run),
        *_of_reading(report),
    ]
    values = {name: getattr(report, name) for name in report.__dataclass_fields__}
    return TrajectoryReport(**values | {"findings": tuple(findings)})


def _fractional(run: Trajectory) -> list[Finding]:
    try:
        check_not_fractional(run)
    except ValueError as error:
        problem, _, remedy = str(error).rpartition("; ")
        return [Finding(problem, remedy)]
    return []


def _of_density(report: TrajectoryReport) -> list[Finding]:
    low, high = DENSITIES
    if report.density is None or low <= report.density <= high:
        return []
    what = f"density of {report.density:.3g} g/cm³, outside {low:g} to {high:g}"
    return [
        Finding(
            what,
            "check the unit of the cell (Å) and the elements; a wrong cell is replaced with cell= "
            "(--cell), wrong elements with elements= (--elements)",
        )
    ]


def _of_distances(report: TrajectoryReport) -> list[Finding]:
    close = {pair: d for pair, d in report.shortest.items() if d < SHORTEST}
    if not close:
        return []
    (one, other), distance = min(close.items(), key=lambda item: item[1])
    return [
        Finding(
            f"{one} and {other} come within {distance:.2g} Å, below {SHORTEST:g} Å",
            "check the unit of positions (Å), a cell that is too small (--cell), and virtual "
            "sites or Drude particles, which exclude= (--exclude 'name MW') leaves out",
        )
    ]


def _of_motion(report: TrajectoryReport, run: Trajectory) -> list[Finding]:
    motion, found = report.motion, []
    if motion.n_near_half:
        limit = height_limit(run)
        found.append(
            Finding(
                f"{motion.n_near_half} steps come near half the cell ({limit:.3g} Å), so that "
                "which image is the next is a guess",
                "read all frames, store them more often, or use unwrapped positions",
            )
        )
    if motion.n_repeated:
        found.append(
            Finding(
                f"{motion.n_repeated} of {motion.n_steps} frames are equal to the one before",
                "drop what a restart wrote again, or take a stride over frames that are stored "
                "more often than they are computed (--stride)",
            )
        )
    elif motion.n_still > 0:
        found.append(
            Finding(
                f"{motion.n_still} of {report.n_atoms} atoms never move",
                "frozen atoms are sound as surroundings but not as targets; leave dummies out "
                "with exclude= (--exclude)",
            )
        )
    return found


def _of_reading(report: TrajectoryReport) -> list[Finding]:
    if not report.guesses:
        return []
    name, symbol = min(report.guesses.items())
    return [
        Finding(
            f"elements of {len(report.guesses)} names are guesses",
            f"settle them with elements={{{name!r}: {symbol!r}}} (--elements {name}={symbol})",
        )
    ]
