"""`check_not_fractional`: positions that are fractions of the cell, taken for ångströms."""

import numpy as np

from graphkoopman.trajectories._trajectory import Trajectory

FEWEST_ATOMS, SAMPLE = 3, 500
SPREAD, SHORTEST_EDGE = 0.3, 2.5  # of fractions; of a cell in Å
SHORTEST_BOND, SHORTEST_BOND_OF_HYDROGEN = 0.95, 0.7  # Å


def check_not_fractional(trajectory: Trajectory) -> None:
    """Raise if positions look like fractions of the cell instead of Å.

    That is, if they stay in the unit cube, in a cell several times as large, with atoms nearer to
    each other than any bond.

    Raises
    ------
    ValueError
    """
    if trajectory.cells is None or trajectory.n_atoms < FEWEST_ATOMS:
        return
    edge = np.linalg.norm(trajectory.cells[0], axis=1).min()
    frames = trajectory.positions[[0, trajectory.n_frames // 2, -1]].astype(np.float64)
    low, high = frames.min(), frames.max()
    if edge < SHORTEST_EDGE or low < -0.5 or high > 1.0 or np.ptp(frames[0], axis=0).max() < SPREAD:
        return
    sample = frames[0, :SAMPLE]
    squares = ((sample[:, None] - sample) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    nearest = float(np.median(np.sqrt(squares.min(axis=1))))
    if nearest < (SHORTEST_BOND_OF_HYDROGEN if 1 in trajectory.species else SHORTEST_BOND):
        raise ValueError(
            f"positions must be in Å, got all of them between {low:.3g} and {high:.3g} in a cell "
            f"of {edge:.3g} Å, with nearest atoms {nearest:.2g} Å apart: these look like "
            "fractions of the cell; multiply them by it, positions @ cell"
        )
