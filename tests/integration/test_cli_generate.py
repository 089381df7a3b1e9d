"""``graphkoopman generate``, run as a user would."""

import json

import ase.io
import numpy as np
import pytest

from graphkoopman import GDyNetEstimator, GraphFeaturizer, read_trajectory
from graphkoopman.cli import main
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.lobes import GatedEncoder

# a fit of a few epochs is not asked to converge here, nor a decoder of a few steps
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::graphkoopman.generation.ClosureWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run and its model."""
    place = tmp_path_factory.mktemp("future")
    hopping = make_hopping(chain_rates(2, slowest=25.0), 500, n_targets=8, random_state=0)
    trajectory = hopping.trajectory.to_mdtraj()
    trajectory.time = np.arange(len(trajectory)) * 0.5
    trajectory[0].save_pdb(place / "box.pdb")
    trajectory.save_xtc(place / "run.xtc")
    run = read_trajectory(place / "run.xtc", top=place / "box.pdb")
    graphs = GraphFeaturizer("element Li", n_neighbors=8, n_hops=1).fit_transform(run)
    estimator = GDyNetEstimator(
        2, 4, encoder=GatedEncoder(n_conv=1), max_epochs=8, random_state=0
    ).fit(graphs)
    estimator.save(place / "model.safetensors")
    return place


def arguments_for(folder, *more):
    return [
        "generate", str(folder / "model.safetensors"), str(folder / "run.xtc"),
        "--top", str(folder / "box.pdb"), "--targets", "element Li", "--neighbors", "8",
        "--around", "8", "--frames", "25", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["new", "real"])
def test_a_future_as_extended_xyz(folder, capsys, kind):
    out = folder / f"{kind}.xyz"
    more = ["--real"] if kind == "real" else ["--steps", "5"]
    assert main(arguments_for(folder, "--out", str(out), "--start", "1", *more)) == 0
    captured = capsys.readouterr().out
    assert "relaxation times of the model / ps" in captured
    assert "25 frames, 48 ps: state 0" in captured
    frames = ase.io.read(out, index=":")
    assert len(frames) == 25
    for number, atoms in enumerate(frames):
        assert atoms.get_chemical_formula() == "LiS8"
        np.testing.assert_allclose(atoms.info["time_ps"], 2.0 * number)
        assert atoms.info["state"] == np.argmax(atoms.info["probs"])
        np.testing.assert_array_equal(atoms.positions[0], 0.0)
    record = json.loads((folder / f"{kind}.run.json").read_text())
    assert record["command"] == "generate"
    assert record["results"]["frames"] == 25
    assert main(arguments_for(folder, "--out", str(out))) == 2
    assert "is there already" in capsys.readouterr().err
    if kind == "new":
        assert frames[0].info["state"] == 1
        assert "decoder trained in" in captured


def test_the_same_seed_writes_the_same_file(folder):
    for name in ("one.xyz", "two.xyz"):
        assert main(arguments_for(folder, "--out", str(folder / name), "--real")) == 0
    assert (folder / "one.xyz").read_text() == (folder / "two.xyz").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--start", "2"], "--start must be a state from 0 to 1"),
        (["--frames", "0"], "--frames must be 1 or more"),
        (["--steps", "-1"], "--steps must be 1 or more"),
        (["--around", "0"], "--around must be 1 or more"),
        (["--stride", "2"], "learned from frames 0.5 ps apart"),
    ],
)
def test_bad_input_is_one_line(folder, capsys, more, message):
    assert main(arguments_for(folder, *more)) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
