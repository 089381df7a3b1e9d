"""What commands read: cells, molecules, exclusions, elements, joined files, and what they say."""

import json
import warnings

import ase.io
import mdtraj as md
import numpy as np
import pytest
from ase import Atoms

from graphkoopman.cli import main
from graphkoopman.cli._arguments import build_parser
from graphkoopman.cli._fit import lag_in_frames
from graphkoopman.cli._input import featurizer_of, read_inputs
from graphkoopman.trajectories import Trajectory

# fits of an epoch are not asked to converge
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::graphkoopman.koopman.FewUnitsWarning"),
    pytest.mark.filterwarnings("ignore::graphkoopman.koopman.InvalidTimescaleWarning"),
    pytest.mark.filterwarnings("ignore::graphkoopman.koopman.BeyondDataWarning"),
]
EDGE = 12.0


def options_of(*words):
    return build_parser().parse_args(["fit", *map(str, words)])


def read(*words, capsys=None):
    return read_inputs(options_of(*words))


def water(n_frames=40, n_molecules=6, virtual=False, seed=0):
    """Molecules that walk, with a site on the bisector where wanted."""
    rng = np.random.default_rng(seed)
    start = 3.0 * np.indices((2, 2, 2)).reshape(3, 8).T[:n_molecules]
    oxygen = start + np.cumsum(rng.normal(0, 0.1, (n_frames, n_molecules, 3)), axis=0)
    arms = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0], [0.1, 0.1, 0]])
    return (oxygen[:, :, None] + arms[: 3 + virtual]).reshape(n_frames, -1, 3)


def topology(n_molecules=6, virtual=False, resname="SOL"):
    made = md.Topology()
    chain = made.add_chain()
    for _ in range(n_molecules):
        residue = made.add_residue(resname, chain)
        for name in ("OW", "HW1", "HW2", "MW")[: 3 + virtual]:
            element = {"O": md.element.oxygen, "H": md.element.hydrogen}.get(name[0])
            made.add_atom(name, element or md.element.virtual, residue)
    return made


@pytest.fixture
def gro(tmp_path):
    """TIP4P water as GROMACS writes it."""
    path = tmp_path / "water.gro"
    with path.open("w") as file:
        for k, frame in enumerate(water(virtual=True) / 10):
            file.write(f"water t= {k:.1f}\n{len(frame)}\n")
            for i, x in enumerate(frame):
                name = ("OW", "HW1", "HW2", "MW")[i % 4]
                file.write(
                    f"{i // 4 + 1:5d}SOL  {name:>5s}{i + 1:5d}{x[0]:8.3f}{x[1]:8.3f}{x[2]:8.3f}\n"
                )
            file.write("   1.2   1.2   1.2\n")
    return path


def test_exclude_and_molecules(gro, capsys):
    assert main(["fit", str(gro), "--targets", "name OW"]) == 2
    assert "--exclude" in capsys.readouterr().err
    options = options_of(gro, "--exclude", "name MW", "--molecules", "resname HOH")
    featurizer = featurizer_of(options, n_hops=1)
    (run,) = read_inputs(options)
    assert run.n_atoms == 18
    (graphs,) = featurizer.fit_transform(run)
    assert graphs.n_targets == 6
    assert "40 frames of 1 ps, 18 atoms (H12 O6), periodic, 12 × 12 × 12 Å" in (
        capsys.readouterr().out
    )


def test_fit_of_molecules_from_end_to_end(gro, tmp_path, capsys):
    # mdtraj calls water HOH, whatever the file does
    arguments = ["fit", gro, "--exclude", "name MW", "--molecules", "resname HOH"]
    arguments += ["--neighbors", "4", "--convolutions", "1", "--epochs", "1", "--lag", "2.4ps"]
    assert main([*map(str, arguments), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "6 targets" in printed
    assert "2.4ps is 2 ps, 2 frames of 1 ps" in printed


def test_targets_and_molecules_exclude_each_other(gro, capsys):
    arguments = ["fit", str(gro), "--targets", "name OW", "--molecules", "resname SOL"]
    assert main(arguments) == 2
    assert "--targets and --molecules exclude each other" in capsys.readouterr().err


def plain_xyz(path, positions, symbols):
    with path.open("w") as file:
        for frame in positions:
            file.write(f"{len(frame)}\nframe\n")
            for symbol, (x, y, z) in zip(symbols, frame, strict=True):
                file.write(f"{symbol} {x:.6f} {y:.6f} {z:.6f}\n")
    return path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["12", "12", "12"], "periodic, 12 × 12 × 12 Å"),
        (["12,13,14.5"], "periodic, 12 × 13 × 14.5 Å"),
        (["12", "13", "14", "90", "90", "100"], "periodic, 12 × 13 × 14 Å, 90, 90, 100°"),
        (["none"], "not periodic"),
    ],
)
def test_cell(tmp_path, capsys, words, said):
    path = plain_xyz(tmp_path / "run.xyz", water(), ["O", "H", "H"] * 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (run,) = read(path, "--timestep", "0.5", "--cell", *words)
    assert said in capsys.readouterr().out
    assert (run.cell is None) == (words == ["none"])
    # files behind it, as a shell user may write them
    assert len(read("--timestep", "0.5", path, "--cell", *words, path, "--no-join")) == 2


def test_no_cell_is_warned_of_in_one_line(tmp_path, capsys):
    path = plain_xyz(tmp_path / "run.xyz", water(), ["O", "H", "H"] * 6)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["inspect", str(path), "--timestep", "0.5"]) == 0
    streams = capsys.readouterr()
    assert "read as not periodic; give the cell with --cell 23.3 23.3 23.3" in streams.err
    assert len(streams.err.strip().splitlines()) == 1
    assert "not periodic" in streams.out
    assert main(["inspect", str(path), "--timestep", "0.5", "--cell", "12", "12"]) == 2
    assert "cell must be three lengths in Å" in capsys.readouterr().err


def test_elements(tmp_path, capsys):
    made = topology(resname="XXX")
    run = md.Trajectory(water() / 10, made, unitcell_lengths=[[1.2] * 3] * 40,
                        unitcell_angles=[[90] * 3] * 40, time=np.arange(40) * 0.5)  # fmt: skip
    run.save(str(tmp_path / "run.gro"))
    (found,) = read(tmp_path / "run.gro", "--elements", "OW=O", "HW1=H,HW2=H")
    np.testing.assert_array_equal(found.species, [8, 1, 1] * 6)
    with pytest.raises(ValueError, match="--elements must be pairs such as OW=O, got 'OW'"):
        read(tmp_path / "run.gro", "--elements", "OW")


@pytest.fixture
def pieces(tmp_path):
    rng = np.random.default_rng(0)
    walk = 4 + np.cumsum(rng.normal(0, 0.12, (90, 20, 3)), axis=0)
    host = rng.uniform(0, EDGE, (1, 12, 3)) + rng.normal(0, 0.02, (90, 12, 3))
    positions = np.concatenate([walk, host], axis=1) % EDGE
    images = [Atoms("Li20S12", positions=x, cell=[EDGE] * 3, pbc=True) for x in positions]
    paths = [tmp_path / f"run{k}.xyz" for k in range(3)]
    for path, part in zip(paths, (images[:30], images[30:55], images[55:]), strict=True):
        ase.io.write(path, part)
    return paths, positions


def test_consecutive_files_are_joined_and_it_is_said(pieces, capsys):
    paths, positions = pieces
    options = options_of(*paths, "--timestep", "0.1")
    (run,) = read_inputs(options)
    assert len(run) == 90
    np.testing.assert_allclose(run.positions, positions, atol=1e-6)
    assert options.runs == [f"{paths[0]} + … + {paths[2]}"]
    printed = capsys.readouterr().out
    assert "joined 3 files into one run: atoms move 0." in printed
    assert "90 frames of 0.1 ps" in printed
    assert [len(run) for run in read(*paths, "--timestep", "0.1", "--no-join")] == [30, 25, 35]
    assert "joined" not in capsys.readouterr().out


def test_files_that_are_no_continuation(pieces, capsys):
    paths, _ = pieces
    assert [len(run) for run in read(paths[2], paths[0], "--timestep", "0.1")] == [35, 30]
    assert f"{paths[0]} does not continue {paths[2]}: atoms jump" in capsys.readouterr().out
    (forced,) = read(paths[2], paths[0], "--timestep", "0.1", "--join")
    assert len(forced) == 65


@pytest.mark.parametrize("stride", [2, 4, 7])
@pytest.mark.parametrize("skip", [0, 5])
def test_strides_and_skips_run_on_over_files(pieces, tmp_path, stride, skip):
    paths, positions = pieces
    words = ["--timestep", "0.1", "--stride", stride, "--skip", skip]
    (run,) = read(*paths, *words)
    np.testing.assert_allclose(run.positions, positions[skip::stride], atol=1e-6)
    apart = read(*paths, *words, "--no-join")
    np.testing.assert_allclose(apart[1].positions, positions[30:55][skip::stride], atol=1e-6)


def test_joined_positions_in_a_cache(pieces, tmp_path):
    paths, positions = pieces
    (run,) = read(*paths, "--timestep", "0.1", "--cache", tmp_path / "cache")
    np.testing.assert_allclose(run.positions, positions, atol=1e-6)
    assert isinstance(run.positions.base, np.memmap)


def test_argyrodite_of_the_readme(shared_data, capsys):
    files = sorted((shared_data / "argyrodite").glob("Li6PS5I_100p_run*.XDATCAR.gz"))
    assert [len(run) for run in read(*files, "--timestep", "0.1")] == [300, 300]
    printed = capsys.readouterr().out
    assert printed.count("joined 3 files into one run") == 2
    assert "run4.XDATCAR.gz does not continue" in printed


def test_species_labels(tmp_path, capsys):
    run = md.Trajectory(water() / 10, topology(resname="HOH"), unitcell_lengths=[[1.2] * 3] * 40,
                        unitcell_angles=[[90] * 3] * 40, time=np.arange(40) * 0.5)  # fmt: skip
    run.save(str(tmp_path / "run.xtc"))
    run[0].save(str(tmp_path / "top.pdb"))
    base = [tmp_path / "run.xtc", "--top", tmp_path / "top.pdb", "--targets", "name O"]
    options = options_of(*base, "--neighbors", "3", "--species-labels", "Of=index 0", "Hx=name H2")
    (graphs,) = featurizer_of(options, n_hops=1).fit_transform(read_inputs(options))
    assert graphs.species[:6].tolist() == ["Of", "H", "Hx", "O", "H", "Hx"]
    labels = tmp_path / "labels.txt"
    labels.write_text("A B C\n" * 6)
    options = options_of(*base, "--neighbors", "3", "--species-labels", labels)
    (graphs,) = featurizer_of(options, n_hops=1).fit_transform(read_inputs(options))
    assert graphs.species[:4].tolist() == ["A", "B", "C", "A"]
    for words, message in (
        (["Of"], "--species-labels must be a file, or pairs"),
        (["Of=index 0", "Og=name O"], "selections of labels must not overlap, got atom 0"),
    ):
        options = options_of(*base, "--neighbors", "3", "--species-labels", *words)
        with pytest.raises(ValueError, match=message):
            featurizer_of(options, n_hops=1).fit_transform(read_inputs(options))
    labels.write_text("A B\n")
    options = options_of(*base, "--neighbors", "3", "--species-labels", labels)
    with pytest.raises(ValueError, match="one label for each of the 18 atoms, got 2"):
        featurizer_of(options, n_hops=1).fit_transform(read_inputs(options))


def test_format(tmp_path, capsys):
    images = [Atoms("Li2S2", positions=x, cell=[9] * 3, pbc=True) for x in water()[:, :4]]
    ase.io.write(tmp_path / "run.abc", images, format="xsf")
    (run,) = read(tmp_path / "run.abc", "--timestep", "0.5", "--format", "xsf")
    assert run.source.format == "xsf"


@pytest.mark.parametrize(
    ("text", "timestep", "frames", "said"),
    [
        ("50ps", 0.999, 50, "50ps is 49.95 ps, 50 frames of 0.999 ps"),
        ("0.7ps", 0.5, 1, "0.7ps is 0.5 ps, 1 frame of 0.5 ps"),
        ("0.1ps", 0.5, 1, "0.1ps is 0.5 ps, 1 frame of 0.5 ps"),
        ("2.5ps", 0.5, 5, ""),
        ("1 ns", 0.3, 3333, "1 ns is 999.9 ps, 3333 frames of 0.3 ps"),
        ("7", 0.3, 7, ""),
    ],
)
def test_lags_are_rounded_and_it_is_said(text, timestep, frames, said):
    told = []
    assert lag_in_frames(text, timestep, told.append) == frames
    assert "".join(told) == said


@pytest.mark.parametrize("text", ["2.5", "0", "-3ps", "soon", "0ps", "nan"])
def test_lags_that_are_none(text):
    with pytest.raises(ValueError, match="--lag must be whole frames"):
        lag_in_frames(text, 0.5)


def test_inspect_says_what_is_implausible(tmp_path, capsys):
    positions = np.random.default_rng(0).uniform(0, 1, (10, 8, 3))
    run = Trajectory(positions, 12 * np.eye(3), [3, 16] * 4, timestep=0.5)
    run.to_mdtraj().save(str(tmp_path / "run.xtc"))
    run.to_mdtraj()[0].save(str(tmp_path / "top.pdb"))
    arguments = ["inspect", str(tmp_path / "run.xtc"), "--top", str(tmp_path / "top.pdb")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "implausible: positions must be in Å" in printed
    assert "fractions of the cell; multiply them by it" in printed
    assert "time step               0.5 ps, from the times of the file" in printed
    assert main([*arguments, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    (found,) = json.loads(line)["runs"]
    assert (found["frames"], found["atoms"], found["elements"]) == (10, 8, {"Li": 4, "S": 4})
    assert found["plausible"] is False
    assert "positions must be in Å" in found["findings"][0]


def test_fit_joins_xdatcars_and_says_so(tmp_path, capsys):
    """The example of the README, on three files of a run."""
    rng = np.random.default_rng(0)
    lithium = rng.uniform(0, EDGE, (1, 8, 3)) + np.cumsum(rng.normal(0, 0.1, (60, 8, 3)), axis=0)
    sulfur = rng.uniform(0, EDGE, (1, 8, 3)) + rng.normal(0, 0.03, (60, 8, 3))
    images = [
        Atoms("Li8S8", x, cell=[EDGE] * 3, pbc=True)
        for x in np.concatenate([lithium, sulfur], axis=1)
    ]
    files = [str(tmp_path / f"run{k}.XDATCAR.gz") for k in range(3)]
    for k, path in enumerate(files):
        ase.io.write(path, images[20 * k : 20 * k + 20], format="vasp-xdatcar")
    arguments = ["fit", *files, "--timestep", "0.1", "--targets", "element Li", "--neighbors", "4"]
    arguments += ["--convolutions", "1", "--epochs", "1", "--lag", "2"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "joined 3 files into one run" in printed
    assert "60 frames of 0.1 ps, 16 atoms (Li8 S8), periodic, 12 × 12 × 12 Å" in printed
    with np.load(tmp_path / "out" / "probabilities.npz") as arrays:
        assert [array.shape for array in arrays.values()] == [(60, 8, 2)]
