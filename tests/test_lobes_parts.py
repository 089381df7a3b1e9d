"""Parts of the network: settings, registry, pooling, head, and weights that move to another."""

import copy
import json

import numpy as np
import pytest
import torch
from lobe_cases import ATOMS, KINDS, MOLECULES, TRICLINIC, batch_of, gas, make_lobe
from sklearn.base import BaseEstimator, clone
from torch import nn

from graphkoopman.graphs import GraphBatch
from graphkoopman.lobes import (
    AttentionPooling,
    Encoder,
    GatedEncoder,
    Head,
    MeanPooling,
    Pooling,
    build_lobe,
    describe_part,
    part_of,
    register,
    transfer_weights,
)


def lobe_of(species, seed=0, n_states=4, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_lobe(species, n_states, **settings)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("encoder", GatedEncoder(2, 5, 3.0, "layer", "mean")),
        ("pooling", MeanPooling()),
        ("pooling", AttentionPooling(np.int64(3))),
    ],
)
def test_settings_survive_a_file(kind, part):
    described = json.loads(json.dumps(describe_part(kind, part)))
    again = part_of(kind, described)
    assert again == part == clone(part)
    assert isinstance(again, {"encoder": Encoder, "pooling": Pooling}[kind])
    assert part_of(kind, describe_part(kind, None)) is None


def test_registry_is_closed():
    class Mine(BaseEstimator):
        def build(self, n_features):
            return nn.Identity()

    with pytest.raises(ValueError, match=r"pooling must be of a class that files can name.*Mine"):
        describe_part("pooling", Mine())
    with pytest.raises(ValueError, match=r"pooling 'Mine' is not registered.*import the module"):
        part_of("pooling", {"class": "Mine", "settings": {}})
    register("pooling", "test_registry_is_closed.Mine")(Mine)
    described = describe_part("pooling", Mine())
    assert described == {"class": "test_registry_is_closed.Mine", "settings": {}}
    assert type(part_of("pooling", described)) is Mine
    with pytest.raises(ValueError, match="pooling 'MeanPooling' is registered as graphkoopman"):
        register("pooling", "MeanPooling")(Mine)
    with pytest.raises(ValueError, match="must have get_params and build"):
        register("encoder")(dict)
    with pytest.raises(ValueError, match="kind must be one of"):
        register("head")


@pytest.mark.parametrize("kind", KINDS)
def test_attention_starts_as_the_mean(kind):
    """Without learned weights all atoms of a molecule count alike, eq. (10)."""
    batch = batch_of(gas(targets=MOLECULES), **KINDS[kind])
    mean, attention = (lobe_of([1, 2, 3], pooling=p) for p in (MeanPooling(), AttentionPooling()))
    with torch.no_grad():
        # the same sums in another order, float32
        torch.testing.assert_close(attention.embed(batch), mean.embed(batch), rtol=1e-5, atol=1e-6)
        shares = [lobe.pooling.weights(lobe.encoder(batch), batch) for lobe in (mean, attention)]
    torch.testing.assert_close(*shares)
    expected = torch.tensor([1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2, 1.0]).repeat(3)
    torch.testing.assert_close(shares[0], expected)


def test_attention_equals_its_equation():
    """Ilse et al., eq. (8), by numpy, molecule by molecule; and it can learn."""
    batch = batch_of(gas(targets=MOLECULES))
    lobe = lobe_of([1, 2, 3], pooling=AttentionPooling(3)).double()
    nn.init.normal_(lobe.pooling.logit.weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        v, found = lobe.encoder(batch).numpy(), lobe.embed(batch).numpy()
    weight = {name: value.detach().numpy() for name, value in lobe.pooling.named_parameters()}
    logits = (
        np.tanh(v @ weight["hidden.weight"].T + weight["hidden.bias"]) @ weight["logit.weight"].T
    )
    for target in range(9):
        own = np.flatnonzero(batch.target_of_atom.numpy() == target)
        shares = np.exp(logits[own, 0]) / np.exp(logits[own, 0]).sum()
        np.testing.assert_allclose(found[target], shares @ v[own], rtol=1e-12)
    lobe(batch)[:, 0].sum().backward()
    assert lobe.pooling.logit.weight.grad.any()


def test_single_atoms_need_no_pooling():
    batch = batch_of(gas(targets=ATOMS))
    for pooling in (MeanPooling(), AttentionPooling()):
        lobe = lobe_of([1, 2, 3], pooling=pooling)
        with torch.no_grad():
            vectors = lobe.encoder(batch)
            assert torch.equal(lobe.pooling(vectors, batch), vectors)
            assert torch.equal(lobe.pooling.weights(vectors, batch), torch.ones(9))


def test_head_standardises_and_sets_layers():
    head = Head(3, 5, 2)
    assert (head.n_features, head.n_hidden, head.n_states, head.spread) == (3, 5, 2, 1.0)
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(size=3), rng.uniform(1, 2, 3)
    hidden, output = (rng.normal(size=(5, 3)), rng.normal(size=5)), (np.ones((2, 5)), [0.0, 1.0])
    head.set_units(mean, scale)
    head.set_hidden(*hidden)
    head.set_output(*output)
    pooled = rng.normal(size=(7, 3))
    responses = np.maximum((pooled - mean) / scale @ hidden[0].T + hidden[1], 0)
    logits = responses @ output[0].T + output[1]
    chi = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    with torch.no_grad():
        found = head(torch.tensor(pooled, dtype=torch.float32)).numpy()
    # float32 weights
    np.testing.assert_allclose(found, chi, rtol=1e-5)
    assert head.spread == pytest.approx(scale.mean(), rel=1e-6)


class Widths(nn.Module):
    """A module of a user's own: says neither its width nor its hops."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(3, 6)

    def forward(self, batch: GraphBatch):
        return self.table(batch.species[: batch.n_target_atoms])


def test_modules_are_tried_copied_and_not_trained_in_place():
    batch = batch_of(gas(targets=MOLECULES))
    module = Widths()
    before = copy.deepcopy(module.state_dict())
    lobe = build_lobe([1, 2, 3], 2, encoder=module, pooling=AttentionPooling(4), example=batch)
    assert lobe.encoder is not module
    assert lobe.widths == (6, 6)
    assert torch.equal(lobe.encoder.table.weight, module.table.weight)
    lobe(batch)[:, 0].sum().backward()
    assert module.table.weight.grad is None
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
    with pytest.raises(ValueError, match="must have an attribute n_features"):
        build_lobe([1, 2, 3], 2, encoder=module)


@pytest.mark.parametrize("bad", ["rows", "shape", "type"])
def test_modules_that_give_something_else(bad):
    class Bad(Widths):
        def forward(self, batch):
            vectors = super().forward(batch)
            return {"rows": vectors[:-1], "shape": vectors[..., None], "type": [vectors]}[bad]

    with pytest.raises(ValueError, match=r"one vector per target atom, shape \(18, n_features\)"):
        build_lobe([1, 2, 3], 2, encoder=Bad(), example=batch_of(gas(targets=MOLECULES)))


def test_weights_move_by_label_and_layer():
    """Rows follow labels, layers their number; what the source lacks stays random."""
    source = lobe_of([3, 8, 16], encoder=GatedEncoder(2, 5))
    target = lobe_of([8, 11, 16, 17], seed=1, encoder=GatedEncoder(3, 5), n_states=3)
    before = copy.deepcopy(target.state_dict())
    transfer_weights(source, target)
    theirs, ours = source.encoder.embedding.weight, target.encoder.embedding.weight
    assert torch.equal(ours[0], theirs[1])
    assert torch.equal(ours[2], theirs[2])
    after = target.state_dict()
    name = "encoder.embedding.weight"
    assert torch.equal(after[name][[1, 3]], before[name][[1, 3]])
    for layer, same_as in ((0, source), (1, source), (2, None)):
        name = f"encoder.convolutions.{layer}.edge.weight"
        there = before if same_as is None else same_as.state_dict()
        assert torch.equal(after[name], there[name])
    # another number of states: the head is a new one
    assert torch.equal(after["head.output.weight"], before["head.output.weight"])


def test_the_whole_network_moves_where_all_sizes_are_the_same():
    source, target = make_lobe(0), make_lobe(1)
    source.has_states = True
    batch = batch_of(gas())
    assert not torch.equal(source(batch), target(batch))
    transfer_weights(source, target)
    assert torch.equal(source(batch), target(batch))
    assert target.has_states


def test_the_same_atoms_look_the_same_in_another_data_set():
    """A network of Li, O, S and one of O, S give the same vectors for the same atoms."""
    run = gas(n_atoms=20, cell=0.8 * TRICLINIC)
    source = lobe_of(["Li", "O", "S"])
    target = lobe_of(["O", "S"], seed=1)
    transfer_weights(source, target)
    batch = batch_of(run)
    few = copy.copy(batch)
    object.__setattr__(few, "species", (batch.species - 1).clamp_min(0))
    many = copy.copy(batch)
    object.__setattr__(many, "species", (batch.species - 1).clamp_min(0) + 1)
    with torch.no_grad():
        assert torch.equal(source.embed(many), target.embed(few))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (GatedEncoder(2, 6), "vectors of 5 numbers for a kind of atom, the network here of 6"),
        (GatedEncoder(2, 5, r_max=4.0), r"edge.weight of shape \(5, 41\).*of shape \(5, 21\)"),
        (Widths(), "an encoder of another kind"),
    ],
)
def test_weights_that_do_not_fit(encoder, message):
    source = lobe_of([1, 2, 3], encoder=GatedEncoder(2, 5))
    target = lobe_of([1, 2, 3], encoder=encoder, example=batch_of(gas()))
    with pytest.raises(ValueError, match=message):
        transfer_weights(source, target)


def test_a_frozen_encoder_stays_in_evaluation_mode():
    lobe = make_lobe(normalization="batch", pooling=AttentionPooling())
    lobe.freeze_encoder()
    batch = batch_of(gas(targets=MOLECULES))
    before = copy.deepcopy(lobe.state_dict())
    lobe.train()(batch)[:, 0].sum().backward()
    assert {name for name, p in lobe.named_parameters() if p.grad is not None} == {
        f"head.{layer}.{kind}" for layer in ("hidden", "output") for kind in ("weight", "bias")
    }
    # running means of the batch norm included
    assert all(torch.equal(lobe.state_dict()[name], value) for name, value in before.items())
