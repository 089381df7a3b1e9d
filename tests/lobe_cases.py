"""Small systems and networks for the tests of the network, and how its results are compared."""

import numpy as np
import torch

from graphkoopman.graphs import build_graphs, collate
from graphkoopman.lobes import GatedEncoder, build_lobe
from graphkoopman.trajectories import Trajectory, resolve_targets

TRICLINIC = np.array([[11.0, 0.0, 0.0], [6.5, 9.0, 0.0], [-5.0, 4.0, 10.0]])
ATOMS = [4, 0, 11]
MOLECULES = [[3, 7, 1], [0, 12], [20]]
KINDS = {
    "nearest": {"n_neighbors": 8},
    "radius": {"n_neighbors": None, "cutoff": 4.5},
}


def gas(seed=0, cell=TRICLINIC, n_frames=3, n_atoms=28, targets=ATOMS):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-1.0, 2.0, (n_frames, n_atoms, 3)) @ cell
    return Trajectory(positions, cell, 1 + np.arange(n_atoms) % 3, timestep=1.0, targets=targets)


def batch_of(trajectory, n_hops=3, n_conv=None, **kind):
    targets = resolve_targets(None, trajectory)
    graphs = build_graphs(trajectory, targets, n_hops=n_hops, **(kind or KINDS["nearest"]))
    frames = np.arange(len(trajectory))
    return collate(graphs, frames, np.asarray(graphs.species) - 1, n_conv or n_hops)


def make_lobe(seed=0, dtype=torch.float32, pooling=None, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_lobe([1, 2, 3], 4, encoder=GatedEncoder(**settings), pooling=pooling).to(dtype)


def gradients_of(lobe, batch, **kwargs):
    lobe.zero_grad()
    probabilities = lobe(batch, **kwargs)
    # of both signs: the softmax hides a constant
    upstream = torch.linspace(-1, 2, probabilities.numel()).view_as(probabilities)
    probabilities.backward(upstream.to(probabilities))
    return {name: parameter.grad.clone() for name, parameter in lobe.named_parameters()}


def assert_relative(actual, expected, rtol, name=""):
    """Differences below ``rtol`` of the largest element."""
    size = expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=rtol * size, msg=lambda m: name + m)
