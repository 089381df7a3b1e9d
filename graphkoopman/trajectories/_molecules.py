"""Molecules as targets: `molecules`."""

import os
from collections.abc import Sequence
from typing import Any, Literal

import mdtraj as md
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graphkoopman.trajectories._targets import check_indices, select_atoms

Division = Literal["molecule", "residue", "fragment"]


def molecules(
    topology: Any,
    selection: str | ArrayLike | None = None,
    *,
    resname: str | Sequence[str] | None = None,
    by: Division = "molecule",
) -> list[NDArray[np.int64]]:
    """Atoms of each molecule, as targets.

    Parameters
    ----------
    topology : mdtraj.Topology, Trajectory, mdtraj.Trajectory or path-like
        Topology with residues or bonds.
    selection : str, array-like of int or None
        mdtraj selection or atom indices; of every molecule only these atoms are taken. None is
        all of them.
    resname : str or sequence of str, or None
        Only residues of these names.
    by : {"molecule", "residue", "fragment"}
        What is one target: a residue; atoms that bonds connect; or, by default, atoms that bonds
        or a residue without bonds connect, so that it is the molecule whether or not the
        topology knows its bonds.

    Returns
    -------
    molecules : list of ndarray
        Sorted indices, in the order of the first atoms.

    Raises
    ------
    ValueError
        If nothing is selected, or the topology has no residues and no bonds.

    Examples
    --------
    >>> import mdtraj as md
    >>> from graphkoopman.trajectories import molecules
    >>> topology = md.Topology()
    >>> chain = topology.add_chain()
    >>> for _ in range(2):
    ...     water = topology.add_residue("HOH", chain)
    ...     for name in ("O", "H", "H"):
    ...         _ = topology.add_atom(name, md.element.Element.getBySymbol(name), water)
    >>> molecules(topology, resname="HOH")
    [array([0, 1, 2]), array([3, 4, 5])]
    """
    if by not in ("molecule", "residue", "fragment"):
        raise ValueError(f'by must be "molecule", "residue" or "fragment", got {by!r}')
    topology = _topology_of(topology)
    chosen = np.arange(topology.n_atoms)
    if isinstance(selection, str):
        chosen = select_atoms(selection, topology)
    elif selection is not None:
        chosen = np.unique(check_indices(selection, topology.n_atoms, "selection"))
    if resname is not None:
        names = {resname} if isinstance(resname, str) else set(resname)
        own = np.array([atom.residue.name in names for atom in topology.atoms])
        chosen = chosen[own[chosen]]
    if len(chosen) == 0:
        present = sorted({residue.name for residue in topology.residues})
        raise ValueError(
            f"molecules must hold at least one atom, got none for {selection or resname!r}; the "
            f"residues are {', '.join(present[:12])}"
        )
    labels = _labels(topology, by)[chosen]
    # molecules in the order of their first atoms
    order = np.argsort(labels, kind="stable")
    groups = np.split(chosen[order], np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted(groups, key=lambda group: int(group[0]))


def _topology_of(topology: Any) -> md.Topology:
    if isinstance(topology, md.Topology):
        return topology
    if isinstance(topology, str | os.PathLike):
        from graphkoopman.trajectories.readers import load_structure

        topology = load_structure(topology, "topology").atoms
    own = getattr(topology, "topology", None)
    if not isinstance(own, md.Topology):
        raise ValueError(
            f"topology must have residues or bonds to tell molecules, got {topology}; give one "
            "with top= (--top), or the targets as lists of atom indices"
        )
    return own


def _labels(topology: md.Topology, by: Division) -> NDArray[np.int64]:
    """Number of the group that every atom belongs to."""
    residues = np.array([atom.residue.index for atom in topology.atoms])
    if by == "residue":
        return residues
    bonds = np.array([(a.index, b.index) for a, b in topology.bonds], dtype=np.int64).reshape(-1, 2)
    if by == "fragment" and len(bonds) == 0:
        raise ValueError('by="fragment" needs a topology with bonds, got none; use by="residue"')
    labels = _components(bonds, topology.n_atoms)
    if by == "fragment":
        return labels
    return _components(np.concatenate([bonds, _links(residues, labels)]), topology.n_atoms)


def _links(residues: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs that join what a residue holds and no bonds do.

    All of a residue without bonds; in one with bonds atoms without any (virtual sites), unless
    its bonds make several molecules of it.
    """
    alone = np.bincount(labels)[labels] == 1
    links = []
    for members in np.split(np.arange(len(residues)), np.flatnonzero(np.diff(residues)) + 1):
        bonded = members[~alone[members]]
        if len(np.unique(labels[bonded])) < 2:
            anchor = bonded[0] if len(bonded) else members[0]
            links += [(anchor, atom) for atom in members[alone[members]]]
    return np.array(links, dtype=np.int64).reshape(-1, 2)


def _components(pairs: NDArray[np.int64], n_atoms: int) -> NDArray[np.int64]:
    ones = np.ones(len(pairs), dtype=bool)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n_atoms, n_atoms))
    return connected_components(graph, directed=False)[1].astype(np.int64)
