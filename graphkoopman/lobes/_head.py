"""`Head`: pooled vectors to probabilities of the states."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn


class Head(nn.Module):
    """Standardising, one hidden layer and a softmax over the states.

    Parameters
    ----------
    n_features : int
        Length of a pooled vector.
    n_hidden : int
        Width of the hidden layer.
    n_states : int

    Attributes
    ----------
    mean, scale : Tensor of shape (n_features,)
        A fixed change of units, set from data before training: the weights behind it then are of
        order one, whatever the spread of the embedding.
    hidden, output : Linear
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int, n_hidden: int, n_states: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.hidden = nn.Linear(n_features, n_hidden)
        self.output = nn.Linear(n_hidden, n_states)

    @property
    def n_features(self) -> int:
        """Length of a pooled vector."""
        return self.hidden.in_features

    @property
    def n_hidden(self) -> int:
        """Width of the hidden layer."""
        return self.hidden.out_features

    @property
    def n_states(self) -> int:
        """Number of probabilities."""
        return self.output.out_features

    @property
    def spread(self) -> float:
        """Mean spread of the embedding over the frames, the unit of what the head sees."""
        return float(self.scale.mean())

    def respond(self, pooled: Tensor) -> Tensor:
        """Responses of the hidden layer, (n_samples, n_hidden)."""
        return torch.relu(self.hidden((pooled - self.mean) / self.scale))

    def logits(self, pooled: Tensor) -> Tensor:
        """Logits of the states, (n_samples, n_states)."""
        return self.output(self.respond(pooled))

    def forward(self, pooled: Tensor) -> Tensor:
        """Probabilities of the states, (n_samples, n_states)."""
        # down the columns: along rows, torch takes one short row after the other
        return torch.softmax(self.logits(pooled).T, dim=0).T.contiguous()

    def set_units(self, mean: ArrayLike, scale: ArrayLike) -> None:
        """Set the change of units: what is subtracted and divided by, both (n_features,)."""
        _assign(self.mean, mean)
        _assign(self.scale, scale)

    def set_hidden(self, weight: ArrayLike, bias: ArrayLike) -> None:
        """Set the hidden layer: (n_hidden, n_features) and (n_hidden,)."""
        _assign(self.hidden.weight, weight)
        _assign(self.hidden.bias, bias)

    def set_output(self, weight: ArrayLike, bias: ArrayLike) -> None:
        """Set the output layer: (n_states, n_hidden) and (n_states,)."""
        _assign(self.output.weight, weight)
        _assign(self.output.bias, bias)


@torch.no_grad()
def _assign(place: Tensor, values: ArrayLike) -> None:
    place.copy_(torch.as_tensor(values).to(place))
