"""Settings that encoders with filters of the distance share."""

from typing import Any

from graphkoopman.checks import check_integer, check_number
from graphkoopman.lobes._gated import LARGEST_RADIUS, MOST_CONVOLUTIONS, MOST_FEATURES
from graphkoopman.lobes._parts import PartSettings


class FilterSettings(PartSettings):
    """Base of `SchNetEncoder` and `PaiNNEncoder`, which say what each setting is."""

    least_basis = 1  # functions of the distance

    def __init__(
        self, n_conv: int = 3, n_features: int = 32, r_max: float = 5.0, n_basis: int = 20
    ) -> None:
        self.n_conv = n_conv
        self.n_features = n_features
        self.r_max = r_max
        self.n_basis = n_basis

    @property
    def n_hops(self) -> int:
        """Neighbour shells that a message crosses."""
        return check_integer(self.n_conv, "n_conv", 1, MOST_CONVOLUTIONS)

    def _checked(self) -> dict[str, Any]:
        """The settings by name, if they can work."""
        return {
            "n_conv": self.n_hops,
            "n_features": check_integer(self.n_features, "n_features", 1, MOST_FEATURES),
            "r_max": check_number(self.r_max, "r_max", above=0.0, maximum=LARGEST_RADIUS),
            "n_basis": check_integer(self.n_basis, "n_basis", self.least_basis, MOST_FEATURES),
        }
