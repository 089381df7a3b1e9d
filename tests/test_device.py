"""Training on every device of this machine: the CPU, and a GPU where there is one."""

import numpy as np
import pytest
import torch
from lobe_cases import MOLECULES, assert_relative, gas, make_lobe
from small_fits import make_estimator, make_featurizer

from graphkoopman.graphs import build_graphs
from graphkoopman.training import SampleData, backward_score, evaluate, sample_batch
from graphkoopman.trajectories import resolve_targets

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def graphs_of(seed, targets, **kind):
    run = gas(seed, n_frames=25, targets=targets)
    return build_graphs(run, resolve_targets(None, run), n_hops=3, **kind)


GRAPHS = [
    graphs_of(0, [4, 0, 11], n_neighbors=8),
    graphs_of(1, MOLECULES, n_neighbors=8),
]
BLOCKS = [(0, 0, 25), (1, 2, 25)]


def data_on(device, chunk_size):
    index = [np.asarray(graphs.species) - 1 for graphs in GRAPHS]
    return SampleData(GRAPHS, index, 3, chunk_size, torch.device(device))


def score_and_gradients(device, dtype, chunk_size):
    data = data_on(device, chunk_size)
    batch = sample_batch(BLOCKS, GRAPHS, 2, None, None)
    lobe = make_lobe(3, dtype).to(device)
    features = evaluate(data, batch, lobe)
    # the ridge keeps the inverses of small variances from amplifying the rounding of float32
    score = backward_score(lobe, data, batch, score="VAMP2", epsilon=1e-1)
    return score, features, [p.grad.cpu() for p in lobe.parameters()]


@pytest.mark.parametrize("device", DEVICES)
def test_batches_are_pinned_for_a_gpu(device):
    batch = data_on(device, None).batch(1, np.arange(3))
    for tensor in (batch.species, batch.neighbors, batch.distances):
        assert tensor.device.type == "cpu"
        assert tensor.is_pinned() == (device == "cuda")


@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("device", DEVICES)
def test_a_step_is_the_same_everywhere(device, chunk_size):
    """Features, score and gradients in float32 against float64 on the CPU, in one pass."""
    score, features, gradients = score_and_gradients(device, torch.float32, chunk_size)
    exact, exact_features, exact_gradients = score_and_gradients("cpu", torch.float64, None)
    assert features.device.type == "cpu"
    # interpolation of edge terms and rounding, as for the lobe alone
    assert_relative(features.double(), exact_features, 1e-5)
    assert score == pytest.approx(exact, rel=1e-4)
    largest = max(gradient.abs().max() for gradient in exact_gradients)
    for gradient, exact_gradient in zip(gradients, exact_gradients, strict=True):
        # features deviate by 1e-6 of their spread of some 1e-2
        torch.testing.assert_close(
            gradient.double(), exact_gradient, rtol=0, atol=1e-3 * float(largest)
        )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # two short epochs
# molecules of several kinds: in a gas, nothing else is slow
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.FixedStateWarning")
@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("device", DEVICES)
def test_same_seed_same_numbers(device, chunk_size):
    # some 10⁴ atoms in a batch: with fewer, torch happens to add in a fixed order
    runs = [gas(seed, n_frames=400, targets=MOLECULES) for seed in (0, 1)]
    graphs = make_featurizer().transform(runs)
    fits = [make_estimator(device=device, chunk_size=chunk_size).fit(graphs) for _ in range(2)]
    first, second = (estimator.lobe_.state_dict() for estimator in fits)
    assert all(value.device.type == device for value in first.values())
    assert all(torch.equal(first[name], second[name]) for name in first)
    for one, other in zip(*(estimator.transform(graphs) for estimator in fits), strict=True):
        assert np.array_equal(one, other)
