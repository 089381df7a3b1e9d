"""Sums and softmax over segments, with torch-scatter and without."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch

from graphkoopman.lobes._segments import _torch_scatter, segment_softmax, segment_sum

SEGMENT = torch.tensor([0, 0, 2, 2, 2, 4])


def segment_values():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)


def test_segment_sum_and_softmax():
    values = segment_values()
    sums, v = segment_sum(values, SEGMENT, 5), values.detach()
    expected = torch.stack([v[:2].sum(0), v[0] * 0, v[2:5].sum(0), v[0] * 0, v[5]])
    torch.testing.assert_close(sums, expected, rtol=1e-14, atol=1e-15)  # two additions
    weights = segment_softmax(1e3 + 300 * v[:, 0], SEGMENT, 5)  # would overflow without a shift
    torch.testing.assert_close(
        segment_sum(weights, SEGMENT, 5), torch.tensor([1.0, 0, 1, 0, 1]).double()
    )
    torch.testing.assert_close(weights[:2], torch.softmax(300 * v[:2, 0], 0))


@pytest.fixture
def forget_torch_scatter():
    """Whether the extra is there is looked up once; these tests change the answer."""
    _torch_scatter.cache_clear()
    yield _torch_scatter.cache_clear
    _torch_scatter.cache_clear()


def test_segment_sum_hands_over_to_torch_scatter(monkeypatch, forget_torch_scatter):
    """The call is by torch-scatter's documented signature; its own results are tested below."""
    calls = {}

    def scatter(src, index, dim=-1, out=None, dim_size=None, reduce="sum"):
        calls.update(src=src, index=index, dim=dim, dim_size=dim_size, reduce=reduce)
        return "sums"

    monkeypatch.setitem(sys.modules, "torch_scatter", SimpleNamespace(scatter=scatter))
    values = segment_values()
    assert segment_sum(values, SEGMENT, 5) == "sums"
    assert calls.pop("src") is values
    assert calls.pop("index") is SEGMENT
    assert calls == {"dim": 0, "dim_size": 5, "reduce": "sum"}


if importlib.util.find_spec("torch_scatter") is not None:

    def test_torch_scatter_equals_native_torch(monkeypatch, forget_torch_scatter):
        """Collected only where the optional extra is installed."""
        results = []
        for hidden in (False, True):
            if hidden:
                monkeypatch.setitem(sys.modules, "torch_scatter", None)  # import then fails
                forget_torch_scatter()
            values = segment_values()
            sums = segment_sum(values, SEGMENT, 5)
            (sums * sums).sum().backward()
            results += [sums.detach(), values.grad]
        # At most two additions per sum, in any order.
        torch.testing.assert_close(results[:2], results[2:], rtol=1e-14, atol=1e-15)
