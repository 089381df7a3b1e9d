"""`GDyNetLobe`, the network χ, put together from its parts, and its weights moved to another."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from graphkoopman.lobes._embedding import SpeciesEmbedding
from graphkoopman.lobes._gated import GatedEncoder
from graphkoopman.lobes._head import Head
from graphkoopman.lobes._pooling import MeanPooling
from graphkoopman.samples import Batch


class GDyNetLobe(nn.Module):
    """Graph dynamical network: encoder, pooling and head.

    Parameters
    ----------
    encoder : Module
        From a batch to the vectors of the target atoms.
    pooling : Module
        From these and the batch to the vectors of the targets.
    head : Head
        From these to the probabilities of the states.

    Attributes
    ----------
    has_states : bool
        Whether the head stands for states of data, from an earlier training.
    widths : (int, int)
        Length of the vectors that encoder and pooling give.
    """

    def __init__(self, encoder: nn.Module, pooling: nn.Module, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.head = head
        self.has_states = False
        self.widths: tuple[int, int] = (head.n_features, head.n_features)
        self._frozen = False

    def freeze_encoder(self) -> None:
        """Keep encoder and pooling as they are; the head alone is trained from now on."""
        self._frozen = True
        for part in (self.encoder, self.pooling):
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "GDyNetLobe":
        """As of any module; what is frozen stays in evaluation mode, running means included."""
        super().train(mode)
        if self._frozen:
            self.encoder.eval()
            self.pooling.eval()
        return self

    def embed(self, batch: Batch, **options: Any) -> Tensor:
        """Pooled vectors of the targets, (n_frames * n_targets, n_features)."""
        return self.pooling(self.encoder(batch, **options), batch)

    def respond(self, batch: Batch) -> Tensor:
        """Responses of the head's hidden layer, (n_frames * n_targets, n_hidden)."""
        return self.head.respond(self.embed(batch))

    def forward(self, batch: Batch, **options: Any) -> Tensor:
        """Probabilities of the states.

        Parameters
        ----------
        batch : Batch
            With at least as many hops as the encoder has.
        **options
            Of the encoder; that of `GatedEncoder` takes ``reference=True`` for the plain
            implementation of its convolutions.

        Returns
        -------
        Tensor of shape (n_frames * n_targets, n_states), rows sum to one.
        """
        return self.head(self.embed(batch, **options))


def build_lobe(
    species: ArrayLike,
    n_states: int,
    *,
    encoder: Any = None,
    pooling: Any = None,
    n_hidden: int = 32,
    example: Batch | None = None,
    widths: tuple[int, int] | None = None,
) -> GDyNetLobe:
    """A network from the settings of its parts, with random weights.

    Parameters
    ----------
    species : array-like of shape (n_species,)
        Kinds of atoms, rising: atomic numbers or labels.
    n_states : int
    encoder : Encoder, Module or None
        None is `GatedEncoder`; a module is copied.
    pooling : Pooling, Module or None
        None is `MeanPooling`; a module is copied.
    n_hidden : int
        Width of the head's hidden layer.
    example : Batch or None
        What the modules are tried on where they have no attribute ``n_features``, the length of
        the vectors that they give.
    widths : (int, int) or None
        These lengths where they are known, of encoder and pooling.

    Returns
    -------
    GDyNetLobe

    Raises
    ------
    ValueError
        If a setting cannot work, or the modules do not give what they should.
    """
    labels = np.asarray(species).tolist()
    encode = _built(GatedEncoder() if encoder is None else encoder, labels)
    n_features, n_pooled = (None, None) if widths is None else widths
    if n_features is None:
        n_features = _width("encoder", encode, lambda batch: encode(batch), example)
    pool = _built(MeanPooling() if pooling is None else pooling, n_features)
    if n_pooled is None:
        n_pooled = _width("pooling", pool, lambda batch: pool(encode(batch), batch), example)
    lobe = GDyNetLobe(encode, pool, Head(n_pooled, n_hidden, n_states))
    lobe.widths = (n_features, n_pooled)
    return lobe


def _built(part: Any, argument: Any) -> nn.Module:
    """The module of a part; one that is there already is copied, not trained in place."""
    return copy.deepcopy(part) if isinstance(part, nn.Module) else part.build(argument)


def _width(
    kind: str, module: nn.Module, apply: Callable[[Any], Tensor], example: Batch | None
) -> int:
    """Length of the vectors that a module gives: what it says, or what it does."""
    declared = getattr(module, "n_features", None)
    if isinstance(declared, int):
        return declared
    if example is None:
        raise ValueError(
            f"the module of the {kind} must have an attribute n_features, the length of its "
            "vectors, where there is no batch to try it on"
        )
    training = module.training
    with torch.no_grad():
        vectors = apply(example)
    module.train(training)
    counts = {
        "encoder": example.n_target_atoms,
        "pooling": example.n_frames * example.n_targets,
    }
    n_rows = counts[kind]
    if not isinstance(vectors, Tensor) or vectors.ndim != 2 or len(vectors) != n_rows:
        found = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
        raise ValueError(
            f"the module of the {kind} must give one vector per "
            f"{'target atom' if kind == 'encoder' else 'target'}, shape ({n_rows}, n_features), "
            f"got {found}"
        )
    return vectors.shape[1]


@torch.no_grad()
def transfer_weights(source: GDyNetLobe, target: GDyNetLobe) -> None:
    """Give a network the weights of another one of the same kind, by layer and atomic number.

    Vectors of kinds of atoms are matched by their labels; kinds that the source does not know keep
    their random vectors, as do layers that it does not have. The head goes along where it has the
    same sizes.

    Parameters
    ----------
    source, target : GDyNetLobe
        The second is changed.

    Raises
    ------
    ValueError
        If a layer that both have differs in shape, or the encoders have none in common.
    """
    theirs, ours = source.state_dict(), target.state_dict()
    moved = _move_embeddings(source, target)
    for name, place in ours.items():
        if name in moved or name not in theirs or name.startswith("head."):
            continue
        if theirs[name].shape != place.shape:
            raise ValueError(
                f"init_from has {name} of shape {tuple(theirs[name].shape)}, the network here of "
                f"shape {tuple(place.shape)}; take the encoder and pooling of init_from, "
                "encoder=None does"
            )
        place.copy_(theirs[name])
        moved.add(name)
    weights = [name for name in ours if name.startswith("encoder.")]
    if weights and not moved.intersection(weights):
        raise ValueError(
            "init_from has an encoder of another kind, got no layer in common; take the encoder of "
            "init_from, encoder=None does"
        )
    head = {name: place for name, place in ours.items() if name.startswith("head.")}
    if all(theirs[name].shape == place.shape for name, place in head.items()):
        for name, place in head.items():
            place.copy_(theirs[name])
        target.has_states = source.has_states


def _move_embeddings(source: GDyNetLobe, target: GDyNetLobe) -> set[str]:
    """Copy vectors of the kinds of atoms by label; names of the weights that are done."""
    tables = {
        name: module
        for name, module in source.named_modules()
        if isinstance(module, SpeciesEmbedding)
    }
    moved = set()
    for name, table in target.named_modules():
        if not isinstance(table, SpeciesEmbedding) or name not in tables:
            continue
        known = tables[name]
        if known.embedding_dim != table.embedding_dim:
            raise ValueError(
                f"init_from has vectors of {known.embedding_dim} numbers for a kind of atom, the "
                f"network here of {table.embedding_dim}; take the encoder of init_from, "
                "encoder=None does"
            )
        for row, label in enumerate(table.labels):
            if label in known.labels:
                table.weight[row] = known.weight[known.labels.index(label)].to(table.weight)
        moved.add(f"{name}.weight")
    return moved
