"""`SpeciesEmbedding`: one vector for every kind of atom, which knows what its rows stand for."""

from collections.abc import Sequence
from typing import Any

from torch import nn


class SpeciesEmbedding(nn.Embedding):
    """Vectors of the kinds of atoms.

    Rows follow the data set's own kinds. Because the labels are kept beside them, vectors move to
    a network of another data set by atomic number or label, see `transfer_weights`.

    Parameters
    ----------
    species : sequence of n_species labels
        Atomic numbers or labels, rising.
    n_features : int

    Attributes
    ----------
    labels : tuple
        Atomic number or label of every row.
    """

    def __init__(self, species: Sequence[Any], n_features: int) -> None:
        super().__init__(len(species), n_features)
        self.labels = tuple(species)
