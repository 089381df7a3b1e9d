"""Molecules as targets: by residues, by bonds, by both."""

import mdtraj as md
import numpy as np
import pytest

from graphkoopman import GraphFeaturizer
from graphkoopman.trajectories import (
    Trajectory,
    molecules,
    read_trajectory,
    resolve_targets,
    species_labels,
)


def topology(*parts):
    """Parts are (residue, names, bonds); a chain of residues where the residue is a list."""
    made = md.Topology()
    for residue, names, bonds in parts:
        chain = made.add_chain()
        residues = residue if isinstance(residue, list) else [residue]
        added = []
        for one in residues:
            here = made.add_residue(one, chain)
            for name in names:
                element = md.element.Element.getBySymbol(name[0])
                added.append(made.add_atom(name, element, here))
        for i, j in bonds:
            made.add_bond(added[i], added[j])
    return made


WATER = ("HOH", ["O", "H1", "H2"], [])
BONDED = ("HOH", ["O", "H1", "H2"], [(0, 1), (0, 2)])
CHAIN = (["PEO"] * 4, ["C", "O"], [(k, k + 1) for k in range(7)])


def lists(groups):
    return [group.tolist() for group in groups]


def test_residues_without_bonds_and_bonds_across_residues():
    made = topology(WATER, CHAIN, BONDED, ("Li", ["N"], []))
    assert lists(molecules(made)) == [[0, 1, 2], list(range(3, 11)), [11, 12, 13], [14]]
    assert lists(molecules(made, resname="HOH")) == [[0, 1, 2], [11, 12, 13]]
    assert lists(molecules(made, "resname PEO", by="residue"))[:2] == [[3, 4], [5, 6]]
    assert lists(molecules(made, by="fragment"))[:4] == [[0], [1], [2], list(range(3, 11))]
    assert lists(molecules(made, "name O", resname=["HOH", "PEO"])) == [
        [0],
        [4, 6, 8, 10],
        [11],
    ]
    assert lists(molecules(made, [12, 0, 11])) == [[0], [11, 12]]


def test_virtual_sites_and_residues_of_several_molecules():
    # a site without bonds belongs to its molecule
    four = ("HOH", ["O", "H1", "H2", "N"], [(0, 1), (0, 2)])
    assert lists(molecules(topology(four, four))) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    # one residue for all, as some converters write, is what its bonds say
    box = ("UNL", ["O", "H1", "H2"] * 2, [(0, 1), (0, 2), (3, 4), (3, 5)])
    assert lists(molecules(topology(box))) == [[0, 1, 2], [3, 4, 5]]


def test_errors():
    made = topology(WATER)
    with pytest.raises(ValueError, match=r"none for 'SOL'; the residues are HOH"):
        molecules(made, resname="SOL")
    with pytest.raises(ValueError, match='by="fragment" needs a topology with bonds'):
        molecules(made, by="fragment")
    with pytest.raises(ValueError, match="by must be"):
        molecules(made, by="chain")
    run = Trajectory(np.zeros((1, 3, 3)), None, [8, 1, 1], timestep=1.0)
    with pytest.raises(ValueError, match=r"topology must have residues or bonds .*\(--top\)"):
        molecules(run)
    with pytest.raises(ValueError, match="must be a valid mdtraj selection"):
        molecules(made, "resname is HOH or")


def test_molecules_in_a_selection_of_targets(tmp_path):
    made = topology(WATER, CHAIN, BONDED)
    positions = np.random.default_rng(0).uniform(0, 9, (3, 14, 3))
    species = [atom.element.number for atom in made.atoms]
    run = Trajectory(positions, 9 * np.eye(3), species, timestep=1.0, topology=made)
    for text, sizes in (
        ("molecules", [3, 8, 3]),
        ("molecules resname HOH", [3, 3]),
        ("molecules name O", [1, 4, 1]),
        ("residues resname PEO", [2, 2, 2, 2]),
        ("fragments resname PEO", [8]),
    ):
        targets = resolve_targets(text, run)
        assert np.diff(targets.offsets).tolist() == sizes
    (graphs,) = GraphFeaturizer("molecules resname HOH", n_neighbors=3).fit_transform(run)
    assert graphs.n_targets == 2


def test_molecules_of_a_file(shared_data):
    folder = shared_data / "md"
    found = molecules(folder / "peo_litfsi.pdb")
    assert sorted({len(group) for group in found}) == [1, 15, 93]
    assert len(molecules(folder / "peo_litfsi.pdb", resname="PEO")) == 10
    run = read_trajectory(folder / "water.xtc", folder / "water.pdb", stride=1000)
    assert resolve_targets("molecules resname HOH", run).n_targets == 216


def test_labels_of_atoms_in_several_roles():
    made = topology(WATER, CHAIN)
    run = Trajectory(
        np.zeros((1, 11, 3)), None, [8, 1, 1] + [6, 8] * 4, timestep=1.0, topology=made
    )
    labels = species_labels(run, {"Oe": "resname PEO and name O"})
    assert labels.tolist() == ["O", "H", "H"] + ["C", "Oe"] * 4
    with pytest.raises(ValueError, match="must not overlap, got atom 4 for 'X' and 'Oe'"):
        species_labels(run, {"Oe": "resname PEO and name O", "X": "index 3 4"})
    with pytest.raises(ValueError, match="must select at least one atom"):
        species_labels(run, {"Oe": "name Q"})
