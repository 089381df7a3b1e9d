"""Elements from symbols, names, residues and masses: right, said to be guesses, or refused."""

import warnings

import mdtraj as md
import numpy as np
import pytest

from graphkoopman import GraphFeaturizer, Trajectory, read_trajectory
from graphkoopman.trajectories import (
    resolve_targets,
    species_label,
    species_mass,
    species_number,
    target_centers,
)
from graphkoopman.trajectories.readers._elements import (
    element_of_mass,
    elements_of_residue,
    parse_symbol,
)


def labels(residue, names):
    return [species_label(n) if n else "-" for n, _ in elements_of_residue(residue, names)]


def origins(residue, names):
    return [origin for _, origin in elements_of_residue(residue, names)]


@pytest.mark.parametrize(
    ("residue", "name", "element"),
    [
        ("NA", "NA", "Na"), ("NA+", "NA+", "Na"), ("SOD", "SOD", "Na"), ("CL-", "CL-", "Cl"),
        ("CLA", "CLA", "Cl"), ("POT", "POT", "K"), ("K+", "K", "K"), ("CAL", "CAL", "Ca"),
        ("CA", "CA", "Ca"), ("CES", "CES", "Cs"), ("LIT", "LIT", "Li"), ("LI", "LI", "Li"),
        ("ZN2", "ZN", "Zn"), ("CD2", "CD", "Cd"), ("ION", "MG2+", "Mg"), ("RB", "RB", "Rb"),
        ("BR", "BR", "Br"), ("IOD", "I", "I"), ("SI", "SI", "Si"), ("HG", "HG", "Hg"),
    ],
)  # fmt: skip
def test_monatomic_residues(residue, name, element):
    """Neither the first letter (N, C, S, P) nor the name alone is the element."""
    assert labels(residue, [name]) == [element]
    assert origins(residue, [name]) == ["known"]


@pytest.mark.parametrize(
    ("residue", "names", "elements"),
    [
        ("ALA", ["N", "CA", "HA", "CB", "1HB", "C", "O", "OXT"], "N C H C H C O O"),
        ("MET", ["SD", "CE", "HE1"], "S C H"),
        ("MSE", ["SE", "CE"], "Se C"),
        ("HIE", ["ND1", "NE2", "HD1", "CD2"], "N N H C"),
        ("CYX", ["SG", "CB", "HG"], "S C H"),
        ("DA", ["P", "OP1", "N9", "H5''", "C1'"], "P O N H C"),
        ("SOL", ["OW", "HW1", "HW2", "MW"], "O H H -"),
        ("HOH", ["O", "D1", "D2"], "O H H"),
        ("SWM4", ["OH2", "DOH2", "LP", "H1", "H2"], "O - - H H"),
        ("LIG", ["CL1", "C2", "BR3", "N4", "NA", "SI5", "O6", "H7"], "Cl C Br N N Si O H"),
        ("TFS", ["S1", "OS1", "CF1", "F11", "NS"], "S O C F N"),
        ("PF6", ["P", "F1", "F2"], "P F F"),
    ],
)  # fmt: skip
def test_molecules(residue, names, elements):
    assert labels(residue, names) == elements.split()


def test_what_is_known_and_what_is_a_guess():
    assert set(origins("SOL", ["OW", "HW1", "HW2"])) == {"known"}
    assert set(origins("GLY", ["N", "CA", "C", "O"])) == {"known"}
    assert set(origins("LIG", ["C1", "O2"])) == {"guessed"}
    assert origins("LIG", ["1", "2"]) == ["unknown"] * 2


@pytest.mark.parametrize(
    ("residue", "names"),
    [("ALA", ["BB", "SC1"]), ("POPC", ["NC3", "PO4", "GL1", "GL2", "C1A", "D2A"]), ("W", ["W"])],
)
def test_coarse_beads_are_node_types_of_their_own(residue, names):
    numbers = [n for n, _ in elements_of_residue(residue, names)]
    assert min(numbers) > 118
    assert len(set(numbers)) == len(names)
    assert [species_label(n).removeprefix("b:") for n in numbers] == names


def test_united_atoms_from_names():
    assert labels("DEC", ["CH3", "CH2", "CH21", "CH3"]) == ["CH3", "CH2", "CH2", "CH3"]
    # hydrogens are there: a carbon that is called after them
    assert labels("DEC", ["CH3", "H31", "H32", "H33"]) == ["C", "H", "H", "H"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Li_sv/5e0f28cc669", 3), ("Ti_pv", 22), ("Li+", 3), ("O2-", 8), ("Na1+", 11), ("D", 1),
        ("T", 1), ("Fe.3", 26), ("S", 16), ("OW", 0), ("1", 0), ("Xx", 0), ("", 0), ("li", 0),
    ],
)  # fmt: skip
def test_symbols_as_codes_write_them(text, number):
    assert parse_symbol(text) == number


@pytest.mark.parametrize(
    ("mass", "label"),
    [
        (1.008, "H"), (1.00794, "H"), (12.011, "C"), (12.0, "C"), (14.01, "N"), (14.0067, "N"),
        (15.9994, "O"), (6.94, "Li"), (35.45, "Cl"), (28.0855, "Si"), (196.97, "Au"), (2.014, "H"),
        (14.027, "CH2"), (15.035, "CH3"), (13.019, "CH"), (16.043, "CH4"),
        (3.024, ""), (8.0, ""), (7.979, ""), (11.991, ""), (13.983, ""), (72.0, ""), (1.0, ""),
        (28.05, ""), (0.0, ""), (0.4, ""),
    ],
)  # fmt: skip
def test_masses(mass, label):
    """Repartitioned hydrogens and their carbons, united atoms and beads are near no element."""
    number = element_of_mass(mass)
    assert (species_label(number) if number else "") == label


def dump_with(tmp_path, columns, rows):
    n = len(rows)
    lines = "".join(f"{i + 1} {row} {i * 3}.0 0.5 0.5\n" for i, row in enumerate(rows))
    frame = (
        f"ITEM: NUMBER OF ATOMS\n{n}\nITEM: BOX BOUNDS pp pp pp\n0 30\n0 30\n0 30\n"
        f"ITEM: ATOMS id {columns} x y z\n{lines}"
    )
    path = tmp_path / "run.dump"
    path.write_text(f"ITEM: TIMESTEP\n0\n{frame}ITEM: TIMESTEP\n10\n{frame}")
    return path


def read_labels(path, **options):
    read = read_trajectory(path, timestep=1.0, **options)
    return [species_label(n) for n in read.species]


def test_lammps_masses(tmp_path):
    path = dump_with(tmp_path, "type mass", ["1 6.94", "2 32.06", "3 15.999"])
    assert read_labels(path) == ["Li", "S", "O"]
    path = dump_with(tmp_path, "type mass", ["1 15.035", "2 14.027", "1 15.035"])
    with pytest.warns(UserWarning, match=r"1 → CH3, 2 → CH2"):
        assert read_labels(path) == ["CH3", "CH2", "CH3"]
    # hydrogen mass repartitioning: 3.024 is no helium, 7.979 no beryllium
    path = dump_with(tmp_path, "type mass", ["1 7.979", "2 3.024", "2 3.024"])
    with pytest.raises(ValueError, match=r"no elements \(types 1, 2\).*--elements 1=Li"):
        read_labels(path)
    assert read_labels(path, elements={"1": "C", "2": "H"}) == ["C", "H", "H"]
    # four mass units on a hydrogen are helium's, nearly
    path = dump_with(tmp_path, "type mass", ["1 4.0", "2 9.012"])
    with pytest.warns(UserWarning, match="1 → He, 2 → Be"):
        read_labels(path)


def test_lammps_types_and_default_elements(tmp_path):
    path = dump_with(tmp_path, "type", ["1", "2", "1"])
    with pytest.raises(ValueError, match="holds atom types but no elements"):
        read_labels(path)
    assert read_labels(path, elements={"1": "Li", "2": "Cl"}) == ["Li", "Cl", "Li"]
    # LAMMPS writes C for all unless dump_modify names them
    path = dump_with(tmp_path, "type element", ["1 C", "2 C", "1 C"])
    with pytest.warns(UserWarning, match="1 → C, 2 → C"):
        read_labels(path)
    path = dump_with(tmp_path, "type element", ["1 D", "2 Li+", "3 OW"])
    with pytest.warns(UserWarning, match="were guessed from names: OW → O; settle"):
        assert read_labels(path) == ["H", "Li", "O"]


def xyz(tmp_path, names):
    lines = "".join(f"{name} {2 * i}.0 0 0\n" for i, name in enumerate(names))
    frame = f'{len(names)}\nLattice="20 0 0 0 20 0 0 0 20"\n{lines}'
    (tmp_path / "run.extxyz").write_text(frame * 3)
    return tmp_path / "run.extxyz"


def test_xyz_labels(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_labels(xyz(tmp_path, ["Li", "D", "O2-", "Fe3+"])) == ["Li", "H", "O", "Fe"]
    with pytest.warns(UserWarning, match="CL → Cl, NA → Na, OW → O"):
        assert read_labels(xyz(tmp_path, ["NA", "CL", "OW"])) == ["Na", "Cl", "O"]
    path = xyz(tmp_path, ["1", "2", "1"])
    with pytest.raises(ValueError, match=r"types but no elements \(types 1, 2\)"):
        read_labels(path)
    assert read_labels(path, elements={"1": "Li", "2": "S"}) == ["Li", "S", "Li"]


def test_elements_settle_guesses(tmp_path):
    path = xyz(tmp_path, ["OW", "HW1", "XQ"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settled = {"OW": "O", "HW1": "H", "XQ": "Xe"}
        assert read_labels(path, elements=settled) == ["O", "H", "Xe"]
    for wrong, message in (
        ({"OX": "O"}, r"got 'OX'; its names and types are HW1, OW, XQ"),
        ({"OW": "Ox"}, r"symbols of elements, got 'Ox' for 'OW'"),
        ({"OW": "CH7"}, r"got 'CH7' for 'OW'"),
    ):
        with pytest.raises(ValueError, match=message):
            read_labels(path, elements=wrong)
    for wrong in (["O"], {"OW": 8}):
        with pytest.raises(TypeError, match="elements must"):
            read_labels(path, elements=wrong)
    with pytest.warns(UserWarning, match="HW1 → H"):
        beads = read_trajectory(path, timestep=1.0, elements={"XQ": "XQ", "OW": "b:Si"})
    assert [species_label(n) for n in beads.species] == ["b:Si", "H", "XQ"]


def gro(tmp_path, atoms):
    frames = []
    for k in range(3):
        rows = "".join(
            f"{r:5d}{res:<5s}{name:>5s}{i + 1:5d}{0.3 * i:8.3f}{0.1:8.3f}{0.1 * k:8.3f}\n"
            for i, (r, res, name) in enumerate(atoms)
        )
        frames.append(f"title t= {k}.0\n{len(atoms)}\n{rows}   3.0 3.0 3.0\n")
    (tmp_path / "run.gro").write_text("".join(frames))
    return tmp_path / "run.gro"


SALT_WATER = [(1, "SOL", "OW"), (1, "SOL", "HW1"), (1, "SOL", "HW2"), (1, "SOL", "MW"),
              (2, "NA", "NA"), (3, "CL", "CL")]  # fmt: skip


def test_salt_water_with_virtual_sites(tmp_path):
    path = gro(tmp_path, SALT_WATER)
    with pytest.raises(ValueError, match=r"none for atom 3 .*exclude='name MW' \(--exclude\)"):
        read_trajectory(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_trajectory(path, exclude="name MW")
    assert read.species.tolist() == [8, 1, 1, 11, 17]
    assert read.topology.n_atoms == 5
    assert [atom.element.symbol for atom in read.topology.atoms] == ["O", "H", "H", "Na", "Cl"]
    np.testing.assert_allclose(read.positions[0, :, 0], [0, 3, 6, 12, 15], atol=1e-5)
    assert resolve_targets("element Na", read).atoms.tolist() == [3]
    assert read_trajectory(path, exclude=[3]).n_atoms == 5
    for wrong, message in (("name Q", "at least one atom"), ([9], "indices from 0 to 5"),
                           ("name MW and", "valid mdtraj selection"),
                           (list(range(6)), "leave at least one")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            read_trajectory(path, exclude=wrong)


def test_a_topology_of_another_system_in_memory(tmp_path):
    """mdtraj takes the ion NA for nitrogen; the residue knows better, and it is said."""
    path = gro(tmp_path, [(1, "NA", "NA"), (2, "CL", "CL")])
    run = md.load(str(path))
    run.save(str(tmp_path / "run.xtc"))
    top = run.topology
    assert [atom.element.symbol for atom in top.atoms] == ["N", "C"]
    with pytest.warns(UserWarning, match="CL → Cl, NA → Na"):
        assert read_trajectory(tmp_path / "run.xtc", top).species.tolist() == [11, 17]
    with pytest.warns(UserWarning, match="this mdtraj.Trajectory .*CL → Cl, NA → Na"):
        converted = Trajectory.from_mdtraj(run)
    assert converted.species.tolist() == [11, 17]
    assert resolve_targets("element Na", converted).atoms.tolist() == [0]
    # the user's own topology stays as it was
    assert [atom.element.symbol for atom in top.atoms] == ["N", "C"]


def test_psf_masses(tmp_path):
    rows = [
        "A 1 LIT LIT LIT LIT 1.0 6.94 0",
        "A 2 HX C1 C1 CT 0.0 8.0 0",
        "A 2 HX H1 H1 HC 0.0 3.024 0",
    ]
    atoms = "".join(f"{i + 1:8d} {row}\n" for i, row in enumerate(rows))
    (tmp_path / "top.psf").write_text(
        f"PSF\n\n       1 !NTITLE\n\n\n{3:8d} !NATOM\n{atoms}\n       0 !NBOND\n\n"
    )
    path = xyz(tmp_path, ["Li", "C", "H"])
    read = read_trajectory(path, tmp_path / "top.psf", 1.0)
    assert read.species.tolist() == [3, 6, 1]


def test_node_types_of_their_own_go_all_the_way(tmp_path):
    path = dump_with(tmp_path, "type mass", ["1 15.035", "2 14.027", "2 14.027", "1 15.035"])
    with pytest.warns(UserWarning, match="were guessed"):
        read = read_trajectory(path, timestep=1.0, targets="element CH3")
    assert resolve_targets(None, read).atoms.tolist() == [0, 3]
    graphs = GraphFeaturizer(n_neighbors=2, n_hops=1).fit_transform(read)
    assert set(graphs[0].species) == {species_number("CH2"), species_number("CH3")}
    # the centre of mass of CH3–CH2, 3 Å apart
    center = target_centers(read, [[0, 1]])[0, 0, 0]
    assert center == pytest.approx(3 * 14.027 / (14.027 + 15.035), abs=1e-5)


@pytest.mark.parametrize("label", ["CH2", "BB", "b:W", "Li", "X", "NC3"])
def test_numbers_of_labels(label):
    number = species_number(label)
    assert species_label(number) == label
    assert species_mass(number) > 0
    for wrong in ("", "much too long", "é"):
        with pytest.raises(ValueError, match="1 to 6 ASCII characters"):
            species_number(wrong)
