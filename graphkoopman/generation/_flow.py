r"""The flow from noise to local environments: `VelocityNetwork`, `train_flow`, `follow_flow`.

Flow matching (Y. Lipman et al., ICLR 2023) with an equivariant network (L. Klein, A. Krämer and
F. Noé, NeurIPS 36, 2023): the network learns the velocity :math:`x_1-x_0` along straight lines from
environments under noise, :math:`x_0`, to environments :math:`x_1`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]

N_RADIAL = 32
DECAY = 0.3  # 1/Å, of radial functions: their width grows from a tenth of an Å with the distance
N_TIMES = 4  # sines and cosines of the time
AVERAGE = 0.995  # of the weights per step, for sampling


class VelocityNetwork(nn.Module):
    """Velocity of every atom, equivariant to rotations, reflections and permutations.

    Parameters
    ----------
    n_kinds : int
        Kinds of atoms: elements, and atoms of the target by their place in it.
    n_states : int
    n_hidden, n_layers : int
    reach : float
        Largest distance from the origin in Å.
    """

    def __init__(
        self, n_kinds: int, n_states: int, n_hidden: int, n_layers: int, reach: float
    ) -> None:
        super().__init__()
        self.kinds = nn.Embedding(n_kinds + 1, n_hidden)  # the last is the atom at the origin
        self.conditions = nn.Linear(n_states + 1 + 2 * N_TIMES, n_hidden)
        self.radii = nn.Linear(N_RADIAL, n_hidden)
        self.layers = nn.ModuleList([_Layer(n_hidden) for _ in range(n_layers)])
        self.centers: Tensor
        farthest = math.exp(-DECAY * 2.0 * reach)
        self.register_buffer("centers", torch.linspace(farthest, 1.0, N_RADIAL))
        self.width = (1.0 - farthest) / (N_RADIAL - 1)

    def forward(self, positions: Tensor, kinds: Tensor, probs: Tensor, time: Tensor) -> Tensor:
        """Velocities (n, n_atoms, 3) from positions, kinds (n, n_atoms), probs and time (n,)."""
        n = len(kinds)
        # the first atom of the target sits at the origin and does not move
        points = torch.cat([positions.new_zeros(n, 1, 3), positions], dim=1)
        nodes = torch.cat([kinds.new_full((n, 1), self.kinds.num_embeddings - 1), kinds], dim=1)
        arms = points[:, :, None] - points[:, None]
        distances = torch.sqrt((arms**2).sum(dim=-1) + 1e-6)
        # Gaussians of exp(-d) are narrow where atoms are close (O. Unke and M. Meuwly, JCTC 2019)
        closeness = torch.exp(-DECAY * distances)[..., None]
        radial = torch.exp(-(((closeness - self.centers) / self.width) ** 2))
        directions = arms / (1.0 + distances[..., None])
        angles = math.pi * time[:, None] * torch.arange(1, N_TIMES + 1)
        given = torch.cat([probs, time[:, None], angles.sin(), angles.cos()], dim=1)
        hidden = self.kinds(nodes) + self.conditions(given)[:, None] + self.radii(radial[:, :, 0])
        velocity = torch.zeros_like(points)
        for layer in self.layers:
            hidden, pull = layer(hidden, radial)
            velocity = velocity + torch.einsum("bij,bijx->bix", pull, directions)
        return velocity[:, 1:] - velocity[:, :1]


class _Layer(nn.Module):
    """Messages along all pairs of atoms, filtered by their distance, and a pull along each."""

    def __init__(self, n_hidden: int) -> None:
        super().__init__()
        self.radial = nn.Linear(N_RADIAL, n_hidden)
        self.filter = nn.Linear(N_RADIAL, n_hidden)
        self.center = nn.Linear(n_hidden, n_hidden, bias=False)
        self.neighbor = nn.Linear(n_hidden, n_hidden, bias=False)
        self.update = nn.Sequential(
            nn.Linear(2 * n_hidden, n_hidden), nn.SiLU(), nn.Linear(n_hidden, n_hidden)
        )
        self.pull = nn.Linear(n_hidden, 1)

    def forward(self, hidden: Tensor, radial: Tensor) -> tuple[Tensor, Tensor]:
        messages = nn.functional.silu(
            self.radial(radial) + self.center(hidden)[:, :, None] + self.neighbor(hidden)[:, None]
        )
        # a product with the distance resolves steep forces, such as of a bond, which sums do not
        messages = messages * self.filter(radial)
        update = self.update(torch.cat([hidden, messages.mean(dim=2)], dim=-1))
        return hidden + update, self.pull(messages)[..., 0]


@dataclass(frozen=True, eq=False)
class FlowBatch:
    """Environments, and the same under noise.

    Attributes
    ----------
    begin, end : ndarray of shape (n, n_atoms, 3)
        Å.
    kinds : ndarray of shape (n, n_atoms), int64
    probs : ndarray of shape (n, n_states)
    """

    begin: Array
    end: Array
    kinds: NDArray[np.int64]
    probs: Array


def train_flow(
    network: VelocityNetwork,
    batches: Iterator[FlowBatch],
    n_steps: int,
    learning_rate: float,
    generator: torch.Generator,
    progress: Callable[[int, float], None],
) -> list[float]:
    """Train in place, to weights averaged over steps; returns the loss of every step in Å²."""
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=n_steps, pct_start=0.1
    )
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE)
    )
    losses = []
    for step in range(n_steps):
        batch = next(batches)
        begin, end, probs = (
            torch.as_tensor(array, dtype=torch.float32)
            for array in (batch.begin, batch.end, batch.probs)
        )
        time = torch.rand(len(begin), generator=generator)
        points = begin + time[:, None, None] * (end - begin)
        velocity = network(points, torch.as_tensor(batch.kinds), probs, time)
        loss = ((velocity - (end - begin)) ** 2).sum(dim=-1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
        losses.append(loss.item())
        progress(step, losses[-1])
    network.load_state_dict(averaged.module.state_dict())
    return losses


@torch.no_grad()
def follow_flow(
    network: VelocityNetwork, begin: Array, kinds: NDArray[np.int64], probs: Array, n_steps: int
) -> Array:
    """Positions at the end of the flow, by Heun's method in equal steps, (n, n_atoms, 3) in Å."""
    points = torch.as_tensor(begin, dtype=torch.float32)
    elements = torch.as_tensor(kinds)
    given = torch.as_tensor(probs, dtype=torch.float32)
    width = 1.0 / n_steps

    def velocity(at: Tensor, time: float) -> Tensor:
        return network(at, elements, given, torch.full((len(at),), time))

    for step in range(n_steps):
        first = velocity(points, step * width)
        second = velocity(points + width * first, (step + 1) * width)
        points = points + 0.5 * width * (first + second)
    return points.numpy().astype(np.float64)
