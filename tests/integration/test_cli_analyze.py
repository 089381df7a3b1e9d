"""``graphkoopman analyze``, run as a user would."""

import csv
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import mdtraj as md
import numpy as np
import pytest
from documented_files import assert_documented

from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory, read_trajectory
from graphkoopman.cli import main
from graphkoopman.cli._structure import write_neighbourhoods
from graphkoopman.cli._tables import rows
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.lobes import GatedEncoder
from graphkoopman.structure import (
    EmptyStateWarning,
    charge_integral,
    representative_frames,
    select_representatives,
    spatial_map,
    state_rdf,
)
from graphkoopman.transport import residence_times, transition_diffusion, transition_displacements

# a fit of a few epochs is not asked to converge here
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TIMESTEP, N_NEIGHBORS, LAGTIME = 0.5, 8, 5
ALWAYS = {
    "populations.csv",
    "timescales.csv",
    "overview.png",
    "ck_test.png",
    "states.png",
    "displacement.csv",
    "displacement.png",
    "diffusion.csv",
    "diffusion.png",
    "residence.csv",
    "survival.csv",
    "residence_cores.csv",
    "survival_cores.csv",
    "residence.png",
    "neighbourhoods.csv",
    "transitions.csv",
    "description.csv",
    "description.png",
    "rules.csv",
    "summary.txt",
    "run.json",
}
CUT_OUTS = {f"state_{state}_{number}.pdb" for state in (0, 1) for number in (0, 1, 2)}
WITH_CELL = {
    "rdf.csv",
    "coordination.csv",
    "rdf.png",
    "profile.csv",
    "profile.png",
    "map.csv",
    "map.png",
}
WITH_CHARGES = {"charge.csv", "charge.png"}
WITH_TRANSPORT = {"conduction.csv", "conductivity.csv", "conduction.png"}


def read_table(path):
    with path.open() as file:
        header, *body = csv.reader(file)
    return header, body


def columns_of(path, *columns):
    _, body = read_table(path)
    return np.array([[float(row[column]) for column in columns] for row in body])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Files of a run with its model; the atoms carry alternating charges."""
    folder = tmp_path_factory.mktemp("run")
    hopping = make_hopping(chain_rates(2, slowest=25.0), 900, n_targets=12, random_state=0)
    trajectory = hopping.trajectory.to_mdtraj()
    trajectory.time = np.arange(len(trajectory)) * TIMESTEP
    trajectory[0].save_pdb(folder / "box.pdb")
    trajectory[:500].save_xtc(folder / "first.xtc")
    trajectory[500:].save_xtc(folder / "second.xtc")
    charges = np.where(np.arange(trajectory.n_atoms) % 2, -1.0, 1.0)
    np.savetxt(folder / "charges.txt", charges, header="e, one per atom")
    (folder / "words.txt").write_text("1.0 minus\n")
    (folder / "few.txt").write_text("1.0 -1.0\n")
    first = read_trajectory(folder / "first.xtc", top=folder / "box.pdb")
    graphs = featurize(first)
    estimator = GDyNetEstimator(
        2, LAGTIME, encoder=GatedEncoder(n_conv=1), max_epochs=8, random_state=0
    ).fit(graphs)
    estimator.save(folder / "model.safetensors")
    return folder


def featurize(trajectory):
    featurizer = GraphFeaturizer("element Li", n_neighbors=N_NEIGHBORS, n_hops=1)
    return featurizer.fit_transform(trajectory)


def arguments_for(run, *files):
    return [
        "analyze", str(run / "model.safetensors"), *(str(run / name) for name in files),
        "--top", str(run / "box.pdb"), "--targets", "element Li",
        "--neighbors", str(N_NEIGHBORS),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def probabilities(run):
    estimator = GDyNetEstimator.load(run / "model.safetensors")
    second = read_trajectory(run / "second.xtc", top=run / "box.pdb")
    return second, estimator.transform(featurize(second))


@pytest.mark.filterwarnings("ignore::graphkoopman.transport.NegativeConductivityWarning")
def test_all_inputs_give_all_analyses(run, probabilities, capsys):
    out = run / "all"
    arguments = [*arguments_for(run, "second.xtc"), "--charges", str(run / "charges.txt")]
    arguments += ["--state-charges", "1.0", "-0.5", "--temperature", "300", "--r-max", "5"]
    assert main([*arguments, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "States at a lag of 2.5 ps" in captured.out
    assert "relaxation time / ps" in captured.out
    assert "not run" not in captured.out
    assert "9/9" in captured.err
    written = {path.name for path in out.iterdir()}
    assert_documented(out, "analyze", "fit", complete=["analyze"])
    assert written == ALWAYS | CUT_OUTS | WITH_CELL | WITH_CHARGES | WITH_TRANSPORT
    assert all((out / name).stat().st_size > 5000 for name in written if name.endswith("png"))

    trajectory, probs = probabilities
    rdf = state_rdf(trajectory, probs, "element Li", r_max=5.0, n_bins=50)
    header, body = read_table(out / "rdf.csv")
    assert header == ["state", "species", "r / angstrom", "g", "95 % low", "95 % high"]
    assert [row[1] for row in body[:: len(rdf.r)]] == list(rdf.species) * 2
    # six digits are written
    np.testing.assert_allclose(columns_of(out / "rdf.csv", 3)[:, 0], rdf.g.ravel(), rtol=1e-5)
    radii = columns_of(out / "coordination.csv", 2)[: len(rdf.r), 0]
    np.testing.assert_allclose(radii, rdf.edges[1:], rtol=1e-5)

    charges = np.loadtxt(run / "charges.txt")
    integral = charge_integral(trajectory, probs, "element Li", charges, r_max=5.0, n_bins=50)
    np.testing.assert_allclose(
        columns_of(out / "charge.csv", 2)[:, 0], integral.charge.ravel(), rtol=1e-5, atol=1e-6
    )
    residence = residence_times(probs, timestep=TIMESTEP)
    np.testing.assert_allclose(
        columns_of(out / "residence.csv", 1, 2, 3),
        np.column_stack([residence.mean, residence.mean_interval]),
        rtol=1e-5,
    )
    header, body = read_table(out / "displacement.csv")
    assert header[2] == "lag / ps"
    assert sorted({float(row[2]) for row in body}) == [TIMESTEP * n for n in range(1, 11)]
    for name in ("profile.csv", "conduction.csv"):
        header, _ = read_table(out / name)
        assert len(set(header)) == len(header)
    quantities = [row[0] for row in read_table(out / "conductivity.csv")[1]]
    assert quantities[1:] == ["Nernst-Einstein / S/cm", "Einstein / S/cm", "closure"]


def test_a_map_of_the_visited_voxels(run, probabilities):
    out = run / "map"
    assert main([*arguments_for(run, "second.xtc"), "--voxels", "4", "--out", str(out)]) == 0
    trajectory, probs = probabilities
    expected = spatial_map(trajectory, probs, "element Li", n_bins=4)
    table = columns_of(out / "map.csv", 0, 1, 2, 3, 4, 5, 6, 7)
    assert len(table) == 2 * np.count_nonzero(expected.counts)
    state, *voxel = table[:, :4].astype(int).T
    np.testing.assert_array_equal(table[:, 4], expected.counts[tuple(voxel)])
    # six digits are written
    np.testing.assert_allclose(table[:, 5], expected.probability[state, *voxel], rtol=1e-5)
    limits = expected.probability_interval[state, *voxel]
    np.testing.assert_allclose(table[:, 6:], limits, rtol=1e-5)


def test_neighbourhoods_are_those_of_the_clearest_frames(run, probabilities):
    out = run / "cut"
    options = ["--cut-outs", "2", "--cut-radius", "4"]
    assert main([*arguments_for(run, "second.xtc"), *options, "--out", str(out)]) == 0
    trajectory, probs = probabilities
    header, body = read_table(out / "neighbourhoods.csv")
    assert header == ["file", "trajectory", "frame", "target", "probability"]
    assert [row[0] for row in body] == [f"state_{s}_{k}.pdb" for s in (0, 1) for k in (0, 1)]
    for state in (0, 1):
        picks = select_representatives(trajectory, probs, "element Li", state, n=2)
        cuts = representative_frames(trajectory, probs, "element Li", state, n=2, radius=4.0)
        for row, pick, cut in zip(body[2 * state : 2 * state + 2], picks, cuts, strict=True):
            assert [int(x) for x in row[1:4]] == [pick.trajectory, pick.frame, pick.target]
            written = md.load(out / row[0])
            # PDB files hold three digits of an Å
            np.testing.assert_allclose(written.xyz, cut.xyz, atol=1e-4)


@pytest.mark.filterwarnings("ignore::graphkoopman.transport.NegativeConductivityWarning")
def test_drift_and_method_reach_the_transport(run, probabilities):
    out = run / "drift"
    options = ["--drift", "framework", "--method", "secant", "--state-charges", "1"]
    arguments = [*arguments_for(run, "second.xtc"), *options, "--temperature", "300"]
    assert main([*arguments, "--cut-outs", "0", "--out", str(out)]) == 0
    assert not list(out.glob("state_*.pdb"))
    trajectory, probs = probabilities
    lags = np.arange(1, 2 * LAGTIME + 1)
    held = transition_displacements(trajectory, probs, "element Li", lags, drift="framework")
    free = transition_displacements(trajectory, probs, "element Li", lags)
    written = columns_of(out / "displacement.csv", 3)[:, 0]
    # six digits are written
    np.testing.assert_allclose(written, held.msd.ravel(), rtol=1e-5)
    assert np.abs(free.msd / held.msd - 1.0).max() > 1e-3
    diffusion = transition_diffusion(
        trajectory, probs, "element Li", LAGTIME, method="secant", drift="framework"
    )
    table = columns_of(out / "diffusion.csv", 2, 3, 4, 5, 6)
    np.testing.assert_allclose(table[:, 0], diffusion.diffusion.ravel(), rtol=1e-5)
    limits = diffusion.diffusion_interval.reshape(-1, 2)
    np.testing.assert_allclose(table[:, 1:3], limits, rtol=1e-5)
    np.testing.assert_array_equal(table[:, 3:], LAGTIME * TIMESTEP)
    quantities = {row[0]: float(row[1]) for row in read_table(out / "conductivity.csv")[1]}
    # secants add up, but for the ends of the run
    assert quantities["closure"] == pytest.approx(1.0, abs=0.02)


def test_a_state_that_is_never_the_most_probable_has_no_neighbourhoods(tmp_path):
    trajectory = Trajectory(np.zeros((4, 2, 3)), 9 * np.eye(3), [3, 9], timestep=1.0)
    request = SimpleNamespace(
        data=(trajectory, [np.full((4, 1, 2), [0.9, 0.1])], "element Li"),
        probabilities=[np.full((4, 1, 2), [0.9, 0.1])],
        model=SimpleNamespace(n_states=2),
        cut_outs=1,
        cut_radius=4.0,
    )
    with pytest.warns(EmptyStateWarning, match="state 1 is nowhere the most probable one"):
        write_neighbourhoods(tmp_path, request)
    assert [path.name for path in tmp_path.glob("*.pdb")] == ["state_0_0.pdb"]


def test_data_in_which_nobody_changes_state_are_analysed_all_the_same(run, capsys):
    still = make_hopping(chain_rates(2, slowest=1e9), 150, n_targets=12, random_state=1)
    assert (still.labels == still.labels[0]).all()
    trajectory = still.trajectory.to_mdtraj()
    trajectory.time = np.arange(len(trajectory)) * TIMESTEP
    trajectory.save_xtc(run / "still.xtc")
    out = run / "nobody"
    assert main([*arguments_for(run, "still.xtc"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert {path.name for path in out.iterdir()} >= ALWAYS
    rows = [line.split() for line in printed.splitlines() if line.strip().startswith("0 → 1")]
    # 149 frames of half a ps, of the targets in state 0, over ln 20
    in_first = round(12 * columns_of(out / "populations.csv", 1)[0, 0])
    limit = 149 * TIMESTEP * in_first / np.log(20.0)
    assert rows[0][4:7] == ["not", "seen", ">"]
    assert float(rows[0][7]) == pytest.approx(limit, rel=0.01)
    assert "nobody was seen to change state" in printed
    table = (out / "transitions.csv").read_text().splitlines()
    assert table[2].split(",")[5] == "nan"
    assert table[2].endswith("False,0")


def test_missing_inputs_are_named(run, capsys):
    out = run / "few"
    arguments = [*arguments_for(run, "first.xtc", "second.xtc"), "--state-charges", "1"]
    assert main([*arguments, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "not run: charge integral, which needs --charges" in printed
    assert "not run: conduction, which needs --temperature" in printed
    assert {path.name for path in out.iterdir()} == ALWAYS | CUT_OUTS | WITH_CELL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--charges", "{run}/words.txt"], "--charges must be a file of numbers"),
        (["--charges", "{run}/few.txt"], "got 2 numbers in"),
        (["--charges", "{run}/none.txt"], "none.txt"),
        (["--state-charges", "1", "2", "3"], "--state-charges must be 2 finite numbers"),
        (["--state-charges", "0"], "not all zero"),
        (["--temperature", "-3"], "--temperature must be a positive number"),
        (["--r-max", "500"], "half the smallest height of the cell"),
        (["--timestep", "2"], "timestep must agree with the times of"),
        (["--stride", "2"], "frames 0.5 ps apart, got 1 ps"),
        (["--cutoff", "3"], "exclude each other"),
        (["--cut-radius", "500"], "--cut-radius must be > 0 and at most half the smallest height"),
        (["--voxels", "0"], "--voxels must be 1 or more, got 0"),
        (["--cut-outs", "-1"], "--cut-outs must be 0 or more, got -1"),
        (["--drift", "framework", "--targets", "all"], "use --drift system"),
        (["--targets", "element Xe"], "Xe"),
    ],
)
def test_bad_input_ends_in_one_line_and_exit_code_2(run, capsys, changes, message):
    filled = [text.format(run=run) for text in changes]
    out = run / "bad"
    assert main([*arguments_for(run, "first.xtc"), *filled, "--out", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not out.exists()


def test_a_missing_model_ends_in_one_line(run, capsys):
    assert main(["analyze", str(run / "none.safetensors"), str(run / "first.xtc")]) == 2
    assert "no model file at" in capsys.readouterr().err


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as end:
        main(["analyze", "--help"])
    assert end.value.code == 0
    assert "graphkoopman analyze model.safetensors" in capsys.readouterr().out


def test_rows_broadcast_and_keep_six_digits():
    table = rows(np.arange(2)[:, None], np.array(["Li", "S"]), np.array([[1 / 3], [np.inf]]))
    assert table == [
        ["0", "Li", "0.333333"],
        ["0", "S", "0.333333"],
        ["1", "Li", "inf"],
        ["1", "S", "inf"],
    ]
