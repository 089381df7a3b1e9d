"""Real runs of the prediction benchmark: `argyrodite`, `electrolyte`, and states learned on a part.

They are read from the folder that ``GRAPHKOOPMAN_DATA`` names, or from ``shared/data`` beside the
checkout.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory, read_trajectory
from graphkoopman.lobes import GatedEncoder

DATA = Path(os.environ.get("GRAPHKOOPMAN_DATA", Path(__file__).parents[2] / "shared" / "data"))
LITHIUM = "element Li"


@dataclass(frozen=True)
class RealRuns:
    """Trajectories and what is asked of them.

    Attributes
    ----------
    name : str
    runs : list of Trajectory
    lagtime : int
        Frames.
    n_neighbors : int
    drift : str
        What is held at rest.
    temperature : float
        K.
    """

    name: str
    runs: list[Trajectory]
    lagtime: int
    n_neighbors: int
    drift: Any
    temperature: float


def argyrodite(name: str = "Cl_50p") -> RealRuns:
    """One composition of Li6PS5X, whose files are consecutive pieces of one run."""
    files = sorted((DATA / "argyrodite").glob(f"Li6PS5{name}_run*.XDATCAR.gz"))
    pieces = [read_trajectory(path, timestep=0.1) for path in files]
    positions = np.concatenate([piece.positions for piece in pieces])
    first = pieces[0]
    run = Trajectory(positions, first.cell, first.species, timestep=0.1)
    return RealRuns(f"Li6PS5{name}", [run], 20, 16, "framework", 500.0)


def electrolyte() -> RealRuns:
    """Two independent runs of PEO with LiTFSI."""
    folder = DATA / "md"
    runs = [
        read_trajectory(folder / name, top=folder / "peo_litfsi.pdb")
        for name in ("peo_litfsi.npz", "peo_litfsi_seed8.npz")
    ]
    return RealRuns("PEO/LiTFSI", runs, 20, 8, "system", 500.0)


def learned(
    part: list[Trajectory],
    system: RealRuns,
    n_states: int = 2,
    seed: int = 0,
    *,
    max_epochs: int = 60,
    n_init: int = 3,
) -> tuple[GDyNetEstimator, list[NDArray[np.float64]]]:
    """States of the targets, from these frames alone, and the network behind them."""
    encoder = GatedEncoder(n_conv=2)
    featurizer = GraphFeaturizer(LITHIUM, n_neighbors=system.n_neighbors, n_hops=encoder.n_hops)
    graphs = featurizer.fit_transform(part)
    estimator = GDyNetEstimator(
        n_states,
        system.lagtime,
        encoder=encoder,
        max_epochs=max_epochs,
        n_init=n_init,
        random_state=seed,
    )
    return estimator, estimator.fit(graphs).transform(graphs)
