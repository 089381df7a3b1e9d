"""What the analyses of a command work on: `Request`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphkoopman.koopman import BootstrapKoopmanModel
from graphkoopman.trajectories import Trajectory

BIN_WIDTH = 0.1  # Å, of radial distributions
NEEDS = {
    "cell": "trajectories with a cell",
    "charges": "--charges",
    "state_charges": "--state-charges",
    "temperature": "--temperature",
}


@dataclass(frozen=True, eq=False)
class Request:
    """Data and settings of all analyses; None is what the user did not give.

    Attributes
    ----------
    trajectories : list of Trajectory
    probabilities : list of ndarray of shape (n_frames, n_targets, n_states)
    targets : str or None
    model : BootstrapKoopmanModel
    r_max : float
        Å.
    charges : ndarray of shape (n_atoms,) or None
        e.
    state_charges : list of float or None
        e; one per state, or one for all.
    temperature : float or None
        K.
    drift : {"framework", "system"} or None
        What is held at rest.
    method : {"slope", "secant"}
        Diffusion coefficient of a transition.
    voxels : int
        Of the map, along each cell vector.
    cut_outs : int
        Neighbourhoods per state.
    cut_radius : float
        Å.
    """

    trajectories: list[Trajectory]
    probabilities: list[NDArray[np.float64]]
    targets: str | None
    model: BootstrapKoopmanModel
    r_max: float
    charges: NDArray[np.float64] | None
    state_charges: list[float] | None
    temperature: float | None
    drift: Literal["framework", "system"] | None
    method: Literal["slope", "secant"]
    voxels: int
    cut_outs: int
    cut_radius: float

    @property
    def data(self) -> tuple[Any, Any, Any]:
        """Trajectories, probabilities and targets, the first arguments of every analysis."""
        return self.trajectories, self.probabilities, self.targets

    @property
    def n_bins(self) -> int:
        """Radial bins."""
        return max(1, round(self.r_max / BIN_WIDTH))

    def missing(self, needs: Sequence[str]) -> list[str]:
        """The needs that are not there, as a user would give them."""
        given = {
            "cell": all(item.cell is not None for item in self.trajectories),
            "charges": self.charges is not None,
            "state_charges": self.state_charges is not None,
            "temperature": self.temperature is not None,
        }
        return [NEEDS[need] for need in needs if not given[need]]
