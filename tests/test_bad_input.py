"""Bad input ends before any long work, in one error: argument, expectation, value, remedy.

One row for everything that users are known to get wrong, through the public names. The modules'
own tests have more cases of each.
"""

import warnings
from dataclasses import replace

import mdtraj as md
import numpy as np
import pytest

from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory, read_trajectory
from graphkoopman.lobes import AttentionPooling, GatedEncoder

N_FRAMES, N_ATOMS, EDGE = 40, 24, 9.0
CELL = EDGE * np.eye(3)


def positions_with(index=None, value=None):
    # a walk, so that neighbours change
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, EDGE, (1, N_ATOMS, 3)) + rng.normal(0, 0.3, (N_FRAMES, N_ATOMS, 3))
    if index is not None:
        positions[index] = value
    return positions


def run_with(**changes):
    settings = {
        "positions": positions_with(),
        "cell": CELL,
        "species": np.tile([3, 16, 16], 8),
        "timestep": 0.5,
        "targets": "element Li",
    }
    return Trajectory(**settings | changes)


def graphs_with(run=None, **changes):
    settings = {"n_neighbors": 6, "n_hops": 2}
    return GraphFeaturizer(**settings | changes).transform(run or run_with())


def estimator_with(**changes):
    settings = {
        "n_states": 2,
        "lagtime": 3,
        "encoder": GatedEncoder(2),
        "max_epochs": 1,
        "random_state": 0,
    }
    return GDyNetEstimator(**settings | changes)


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch on noise
        return estimator_with().fit(graphs_with())


@pytest.fixture
def no_long_work(monkeypatch):
    """Neither a graph nor a network is touched before the error."""

    def must_not_run(*args, **kwargs):
        raise AssertionError("long work began")

    monkeypatch.setattr("graphkoopman.estimator._fit.Restarts", must_not_run)
    monkeypatch.setattr("graphkoopman.graphs._build._receptive_fields", must_not_run)
    monkeypatch.setattr("graphkoopman.estimator._estimator.evaluate", must_not_run)


TRAJECTORIES = {
    "NaN position": (
        {"positions": positions_with((7, 5, 1), np.nan)},
        r"positions must be finite, got nan at frame 7, atom 5; drop or repair",
    ),
    "infinite position": (
        {"positions": positions_with((0, 23, 2), np.inf)},
        r"positions must be finite, got inf at frame 0, atom 23; drop or repair",
    ),
    "singular cell": (
        {"cell": np.diag([9.0, 9.0, 0.0])},
        r"cell must have a volume: singular cell, got \[\[9.0.*pass cell=None",
    ),
    "left-handed cell": (
        {"cell": CELL[[1, 0, 2]]},
        r"cell must be right-handed: negative volume for the cell, got .*swap two lattice vectors",
    ),
    "negative cell": (
        {"cell": -CELL},
        r"cell must be right-handed: negative volume .*flip the sign of one",
    ),
    "singular cell of a frame": (
        {"cell": np.concatenate([np.tile(CELL, (39, 1, 1)), np.zeros((1, 3, 3))])},
        r"singular cell of frame 39",
    ),
    "flat positions": (
        {"positions": positions_with()[0]},
        r"positions must have shape \(n_frames, n_atoms, 3\), got \(24, 3\).*positions\[None\]",
    ),
    "positions of text": (
        {"positions": np.full((2, N_ATOMS, 3), "1.0")},
        r"positions must be real numbers in Å, got dtype <U3; convert them",
    ),
    "complex positions": (
        {"positions": positions_with().astype(complex)},
        r"positions must be real numbers in Å, got dtype complex128; convert them",
    ),
    "no frames": (
        {"positions": np.empty((0, N_ATOMS, 3))},
        r"positions must hold at least one frame and one atom, got shape \(0, 24, 3\)",
    ),
    "cell of lengths": (
        {"cell": np.array([9.0, 9.0, 9.0])},
        r"cell must have shape \(3, 3\) or .*got \(3,\); use np.diag\(lengths\)",
    ),
    "cells of other frames": (
        {"cell": np.tile(CELL, (5, 1, 1))},
        r"cell must have one matrix per frame \(40 frames\), got 5; pass a single",
    ),
    "unknown element": (
        {"species": np.tile([3, 16, 0], 8)},
        r"species must be atomic numbers from 1 to 116, got 0 for atom 2; drop virtual sites",
    ),
    "symbols": (
        {"species": ["Li", "S", "S"] * 8},
        r"species must be integer atomic numbers, got dtype <U2; translate symbols",
    ),
    "species of other atoms": (
        {"species": [3, 16]},
        r"species must hold one atomic number per atom, shape \(24,\), got \(2,\)",
    ),
    "no timestep": ({"timestep": 0}, r"timestep must be > 0 ps per frame, got 0"),
}


@pytest.mark.parametrize("case", TRAJECTORIES)
def test_trajectories(case):
    changes, message = TRAJECTORIES[case]
    with pytest.raises((ValueError, TypeError), match=message):
        run_with(**changes)


FEATURIZERS = {
    "nanometres": (
        run_with(positions=0.1 * positions_with(), cell=0.1 * CELL), {},
        r"positions must be in Å.*0\.\d+ Å.*multiply both by 10",
    ),
    "no atom selected": (
        run_with(), {"targets": "element Na"},
        r"targets must select at least one atom, got none for 'element Na'; .*present are Li, S",
    ),
    "targets that overlap": (
        run_with(), {"targets": [[0, 1], [1, 2]]},
        r"targets must not overlap, got atom 1 in targets 0 and 1",
    ),
    "targets out of range": (
        run_with(), {"targets": [0, 24]},
        r"targets must be atom indices from 0 to 23, got 24",
    ),
    "fewer atoms than M + 1": (
        run_with(cell=None), {"n_neighbors": 24},
        r"n_neighbors=24 needs at least 25 atoms.*got 24; lower n_neighbors or give the cell",
    ),
    "zero neighbours": (run_with(), {"n_neighbors": 0}, r"n_neighbors must be an integer >= 1"),
    "negative hops": (run_with(), {"n_hops": -1}, r"n_hops must be an integer >= 1, got -1"),
    "negative cutoff": (
        run_with(), {"n_neighbors": None, "cutoff": -4.0},
        r"cutoff must be a positive distance in Å, got -4\.0",
    ),
    "file name": ("run.xtc", {}, r"trajectories must be .*got str; load files with read_traj"),
}  # fmt: skip


@pytest.mark.parametrize("case", FEATURIZERS)
def test_featurizers(case, no_long_work):
    run, changes, message = FEATURIZERS[case]
    settings = {"n_neighbors": 6, "n_hops": 2} | changes
    with pytest.raises((ValueError, TypeError), match=message):
        GraphFeaturizer(**settings).transform(run)


ELEMENTS = np.tile([3, 16, 16], 8)
STILL = positions_with()
STILL[:] = STILL[:1]
FROZEN = positions_with()
FROZEN[:, :6] = FROZEN[:1, :6]

FITS = {
    "lag as long as the run": (
        [run_with()], {"lagtime": 40},
        r"lagtime must be < the shortest trajectory \(40 frames\), got 40; lower lagtime",
    ),
    "lag as long as the shorter run": (
        [run_with(), run_with()[:10]], {"lagtime": 10},
        r"lagtime must be < the shortest trajectory \(10 frames\), got 10.*drop short runs",
    ),
    "single frame": (
        [run_with()[:1]], {"lagtime": 1},
        r"lagtime must be < the shortest trajectory \(1 frames\), got 1",
    ),
    "fewer frames than states": (
        [run_with()[:4]], {"n_states": 5, "lagtime": 1},
        r"n_states must not exceed the number of frames \(4\), got 5; give more data",
    ),
    "no room for validation": (
        [run_with()[:11]], {"lagtime": 6},
        r"validation split needs two blocks longer than lagtime \(6 frames\).*it needs 14",
    ),
    "other species": (
        [run_with(), run_with(species=np.tile([3, 16, 8], 8))], {},
        r"all trajectories must have the same species, got \[3, 16\] in the first and "
        r"\[3, 8, 16\] in number 1; fit them one by one",
    ),
    "mixed timesteps": (
        [run_with(), run_with(timestep=1.0)], {},
        r"all graphs must have one timestep, got 0.5, 1.0; resample the trajectories",
    ),
    "targets that never move": (
        [run_with(positions=STILL)], {},
        r"targets must move, got the same .* in all 40 frames of trajectory 0 for 8 of 8 targets",
    ),
    "other hops": (
        [run_with()], {"encoder": GatedEncoder(3)},
        r"GatedEncoder looks 3 hops far and needs graphs of n_hops >= 3, got 2; featurize with "
        r"n_hops=3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FITS)
def test_fits(case, monkeypatch):
    runs, changes, message = FITS[case]
    graphs = GraphFeaturizer(n_neighbors=6, n_hops=2).transform(runs)
    monkeypatch.setattr("graphkoopman.estimator._fit.Restarts", None)
    with pytest.raises(ValueError, match=message):
        estimator_with(**changes).fit(graphs)


def test_some_targets_that_never_move():
    # atoms 0 to 5 do not move, nor do their nearest neighbours: each other
    near = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]])
    positions = positions_with()
    positions[:, :6] = near + np.array([4.0, 4.0, 4.0])
    positions[:, 6:] = np.where(
        np.linalg.norm(positions[:, 6:] - 4.5, axis=2)[..., None] < 2.5, 0.0, positions[:, 6:]
    )
    run = run_with(positions=positions, targets=[0, 10, [3]])
    for kind in ({"n_neighbors": 3}, {"n_neighbors": None, "cutoff": 1.3}):
        graphs = graphs_with(replace(run, targets=[0, 10, 3]), **kind)
        with pytest.raises(ValueError, match="for 2 of 3 targets, number 0 first; leave out"):
            estimator_with().fit(graphs)
    # a molecule moves if one of its atoms does
    graphs = graphs_with(replace(run, targets=[[0, 10], [3, 11]]), n_neighbors=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noise has no states
        estimator_with().fit(graphs)


SETTINGS = {
    "n_states": (0, r"n_states must be an integer >= 2, got 0"),
    "lagtime": (-1, r"lagtime must be an integer >= 1, got -1"),
    "encoder": ("gated", r"encoder must be None, an object of settings .*, got 'gated'"),
    "pooling": (AttentionPooling, r"pooling must be None, an object .*MeanPooling\(\), or a torch"),
    "n_hidden": (-3, r"n_hidden must be an integer >= 1, got -3"),
    "learning_rate": (-0.1, r"learning_rate must be a positive number, got -0.1"),
    "max_epochs": (0, r"max_epochs must be an integer >= 1, got 0"),
    "patience": (0, r"patience must be an integer >= 1, got 0"),
    "batch_size": (0, r"batch_size must be None or a number of frames >= 1, got 0"),
    "chunk_size": (-1, r"chunk_size must be None or a number of frames >= 1, got -1"),
    "n_init": (True, r"n_init must be an integer >= 1, got True"),
    "objective": ("VAMP-2", r"objective must be one of .*got 'VAMP-2'"),
    "init_from": (GDyNetEstimator(), r"init_from must be fitted, got one that is not"),
    "freeze": ("head", r"freeze must be one of \(None, 'encoder'\), got 'head'"),
    "device": ("gpu", r"device must be 'auto' or a device of this machine .*got 'gpu'"),
    "checkpoint_dir": (3, r"checkpoint_dir must be the path of a folder or None, got 3"),
    "random_state": (-1, r"random_state must be None, an integer from 0 to \d+ .*got -1"),
    "reversible": ("yes", r"reversible must be True or False, got 'yes'"),
    "verbose": (2, r"verbose must be True or False, got 2"),
}


def test_every_setting_is_checked():
    assert set(SETTINGS) == set(GDyNetEstimator().get_params())


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name, monkeypatch):
    value, message = SETTINGS[name]
    graphs = graphs_with()
    monkeypatch.setattr("graphkoopman.estimator._fit.Restarts", None)
    with pytest.raises((ValueError, TypeError), match=message):
        estimator_with(**{name: value}).fit(graphs)


PARTS = {
    "n_conv": (GatedEncoder(0), r"n_conv must be an integer >= 1, got 0"),
    "n_features": (GatedEncoder(n_features=0), r"n_features must be an integer >= 1, got 0"),
    "r_max": (GatedEncoder(r_max=0.0), r"r_max must be a positive number, got 0.0"),
    "normalization": (GatedEncoder(normalization=np.ones(2)), r"normalization must be one of"),
    "aggregation": (GatedEncoder(aggregation="max"), r"aggregation must be one of .*got 'max'"),
    "n_hidden": (AttentionPooling(True), r"n_hidden of AttentionPooling must be an integer >= 1"),
}


@pytest.mark.parametrize("name", PARTS)
def test_settings_of_parts(name, monkeypatch):
    part, message = PARTS[name]
    kind = "pooling" if isinstance(part, AttentionPooling) else "encoder"
    graphs = graphs_with()
    monkeypatch.setattr("graphkoopman.estimator._fit.Restarts", None)
    with pytest.raises(ValueError, match=message):
        estimator_with(**{kind: part}).fit(graphs)


TRANSFORMS = {
    "unseen species": (
        run_with(species=np.tile([3, 16, 8], 8)), {},
        r"node types \[8\] were not seen in training \(\[3, 16\]\); fit on trajectories that",
    ),
    "fewer hops": (
        run_with(), {"n_hops": 1},
        r"GatedEncoder looks 2 hops far and needs graphs of n_hops >= 2, got 1; featurize with "
        r"n_hops=2",
    ),
    "another M": (
        run_with(), {"n_neighbors": 7},
        r"graphs must have the n_neighbors=6 of those in training, got n_neighbors=7; featurize "
        r"with GraphFeaturizer\(n_neighbors=6, cutoff=None, n_per_species=0\)",
    ),
    "a cutoff instead": (
        run_with(), {"n_neighbors": None, "cutoff": 3.0},
        r"graphs must have the n_neighbors=6 of those in training, got n_neighbors=None",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TRANSFORMS)
@pytest.mark.parametrize("method", ["transform", "predict", "score", "koopman_model"])
def test_transforms(case, method, fitted, monkeypatch):
    run, changes, message = TRANSFORMS[case]
    graphs = graphs_with(run, **changes)
    monkeypatch.setattr("graphkoopman.estimator._estimator.evaluate", None)
    with pytest.raises(ValueError, match=message):
        getattr(fitted, method)(graphs)


@pytest.mark.parametrize("lagtime", [0, 2.5, 40, "3"])
def test_lags_of_models(fitted, lagtime):
    with pytest.raises(ValueError, match="lagtime must be"):
        fitted.koopman_models(graphs_with(), [2, lagtime])


def write_files(folder):
    """Files of every kind of trouble, and the topology that belongs to them."""
    run = run_with(targets=None).to_mdtraj()
    run[0].save(str(folder / "top.pdb"))
    run.save(str(folder / "whole.xtc"))
    run[0].save(str(folder / "single.xtc"))
    content = (folder / "whole.xtc").read_bytes()
    (folder / "truncated.xtc").write_bytes(content[:-20])
    (folder / "empty.xtc").write_bytes(b"")
    (folder / "foreign.xtc").write_bytes(b"MZ" + bytes(500))
    (folder / "run.docx").write_bytes(content)
    run.save(str(folder / "untimed.dcd"))


FILES = {
    "missing": ("gone.xtc", r"path must be an existing file, got .*gone\.xtc"),
    "zero length": ("empty.xtc", r"path must .*empty\.xtc"),
    "single frame": ("single.xtc", r"it holds a single frame; pass timestep="),
    "truncated xtc": ("truncated.xtc", r"truncated after frame \d+.*cut it to whole frames"),
    "foreign content": ("foreign.xtc", r"path must be a complete, readable file, got .*foreign"),
    "unknown format": ("run.docx", r"path must have a format known by its name, got run\.docx"),
    "no time in the file": ("untimed.dcd", r"it carries no time; pass timestep="),
}


@pytest.mark.parametrize("case", FILES)
def test_files(case, tmp_path):
    write_files(tmp_path)
    name, message = FILES[case]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_trajectory(tmp_path / name, top=tmp_path / "top.pdb")


def test_files_of_unknown_elements(tmp_path):
    write_files(tmp_path)
    topology = md.load_topology(str(tmp_path / "top.pdb"))
    topology.atom(5).element = md.element.virtual
    message = r"topology must know the element of every atom, got none for atom 5.*atom_slice"
    with pytest.raises(ValueError, match=message):
        read_trajectory(tmp_path / "whole.xtc", top=topology)
