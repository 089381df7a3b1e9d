"""`FeatureEncoder`: features that are there, standardised, and a small network on them."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphkoopman.checks import check_integer
from graphkoopman.descriptors import FeatureBatch
from graphkoopman.lobes._parts import PartSettings, register

MOST_LAYERS, MOST_FEATURES = 100, 10_000
SMALLEST_SPREAD = 1e-6  # of a feature's size: rounding of float32


@register("encoder")
class FeatureEncoder(PartSettings):
    """Features of a `FeatureTrajectory` in units of their spread, and hidden layers on them.

    The default for features. Without hidden layers the head alone learns, which makes a VAMPnet of
    one hidden layer.

    Parameters
    ----------
    n_layers : int
        Hidden layers, each with an ELU.
    n_features : int
        Their width.

    References
    ----------
    Mardt et al., Nat. Commun. 9, 5 (2018).
    """

    def __init__(self, n_layers: int = 1, n_features: int = 32) -> None:
        self.n_layers = n_layers
        self.n_features = n_features

    @property
    def n_hops(self) -> int:
        """There are no neighbours to look at."""
        return 0

    @property
    def needs(self) -> frozenset[str]:
        """What is read."""
        return frozenset({"features"})

    def build(self, species: Sequence[Any]) -> nn.Module:
        """The module for features of these columns, see `Encoder`.

        Raises
        ------
        ValueError
            If a setting cannot work.
        """
        return FeatureNetwork(
            len(species),
            check_integer(self.n_layers, "n_layers", 0, MOST_LAYERS),
            check_integer(self.n_features, "n_features", 1, MOST_FEATURES),
        )


class FeatureNetwork(nn.Module):
    """The module of `FeatureEncoder`."""

    mean: Tensor
    per_spread: Tensor

    def __init__(self, n_inputs: int, n_layers: int, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features if n_layers else n_inputs
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("per_spread", torch.ones(n_inputs))
        widths = [n_inputs] + n_layers * [n_features]
        self.layers = nn.Sequential(
            *(
                layer
                for before, after in itertools.pairwise(widths)
                for layer in (nn.Linear(before, after), nn.ELU())
            )
        )

    @torch.no_grad()
    def adapt(self, batches: Sequence[FeatureBatch]) -> None:
        """Take the units of the features from frames of the data, before training."""
        features = torch.cat([batch.features.double() for batch in batches])
        self.mean.copy_(features.mean(dim=0))
        spread = features.std(dim=0, correction=0)
        # rounding of a feature that does not vary is left out, not blown up
        varies = spread > SMALLEST_SPREAD * features.abs().amax(dim=0)
        self.per_spread.copy_(torch.where(varies, 1.0 / spread, 0.0))

    def forward(self, batch: FeatureBatch) -> Tensor:
        """Vectors of the targets, (n_frames * n_targets, n_features)."""
        return self.layers((batch.features.to(self.mean) - self.mean) * self.per_spread)
