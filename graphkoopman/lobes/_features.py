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
MOST_COMPONENTS = 64  # of longer vectors, by default
SMALLEST_VARIANCE = 1e-6  # of a component, of the largest: rounding of float32
VECTORS_PER_COMPONENT = 10  # that it takes to know a component


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
    n_components : int, "auto" or None
        Principal components of the standardised features that take their place, in units of their
        spread; they are found on the frames that the estimator is fitted to. "auto" takes 64 of
        vectors that are longer, None keeps all features. Components that fewer than ten vectors
        each would have to tell, and rounding, are left out. `descriptors.FeatureReducer` reduces by
        VAMP.

    References
    ----------
    Mardt et al., Nat. Commun. 9, 5 (2018).
    """

    def __init__(self, n_layers: int = 1, n_features: int = 32, n_components: Any = "auto") -> None:
        self.n_layers = n_layers
        self.n_features = n_features
        self.n_components = n_components

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
            self._n_components(len(species)),
        )

    def _n_components(self, n_inputs: int) -> int | None:
        """Number of components for a number of features; None keeps the features."""
        n = self.n_components
        if n is None:
            return None
        if isinstance(n, str):
            if n != "auto":
                raise ValueError(f'n_components must be an integer, "auto" or None, got {n!r}')
            return MOST_COMPONENTS if n_inputs > MOST_COMPONENTS else None
        return min(check_integer(n, "n_components", 1, MOST_FEATURES), n_inputs)


class FeatureNetwork(nn.Module):
    """The module of `FeatureEncoder`."""

    mean: Tensor
    per_spread: Tensor
    components: Tensor | None

    def __init__(
        self, n_inputs: int, n_layers: int, n_features: int, n_components: int | None = None
    ) -> None:
        super().__init__()
        width = n_inputs if n_components is None else n_components
        self.n_features = n_features if n_layers else width
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("per_spread", torch.ones(n_inputs))
        first = None if n_components is None else torch.eye(n_inputs, n_components)
        self.register_buffer("components", first)
        widths = [width] + n_layers * [n_features]
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
        if self.components is not None:
            standard = (features - self.mean.double()) * self.per_spread.double()
            self.components.copy_(_components(standard, self.components.shape[1]))

    def forward(self, batch: FeatureBatch) -> Tensor:
        """Vectors of the targets, (n_frames * n_targets, n_features)."""
        standard = (batch.features.to(self.mean) - self.mean) * self.per_spread
        return self.layers(standard if self.components is None else standard @ self.components)


def _components(standard: Tensor, n_components: int) -> Tensor:
    """Principal components in units of their spread, (n_features, n_components).

    Columns beyond what the vectors (n_vectors, n_features) can tell are zero.
    """
    variances, axes = torch.linalg.eigh(standard.T @ standard / len(standard))
    variances, axes = variances.flip(0)[:n_components], axes.flip(1)[:, :n_components]
    known = variances > SMALLEST_VARIANCE * variances[0].clamp_min(
        torch.finfo(variances.dtype).tiny
    )
    known &= torch.arange(len(variances)) < max(1, len(standard) // VECTORS_PER_COMPONENT)
    return torch.where(known, axes / variances.clamp_min(1e-300).sqrt(), 0.0)
