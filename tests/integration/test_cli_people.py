"""What a person sees of the command line: stories, records, folders, pages, exit codes."""

import json
import signal
import threading

import matplotlib

matplotlib.use("Agg")

import ase.io
import numpy as np
import pytest
from documented_files import assert_documented

from benchmarks._training_settings import trained_with
from graphkoopman import GDyNetEstimator
from graphkoopman.cli import _fit, main
from graphkoopman.cli._console import Console, in_words_of_the_command, plain
from graphkoopman.cli._feed import feed_of
from graphkoopman.cli._folder import check_output
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.koopman import FewUnitsWarning, estimate_koopman


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    hopping = make_hopping(chain_rates(2, slowest=20.0), 700, random_state=0)
    trajectory = hopping.trajectory.to_mdtraj()
    trajectory[0].save_pdb(folder / "box.pdb")
    trajectory[:400].save_xtc(folder / "first.xtc")
    trajectory[400:].save_xtc(folder / "second.xtc")
    return folder


def fit_arguments(files, *more):
    return [
        "fit", str(files / "first.xtc"), "--top", str(files / "box.pdb"), "--targets",
        "element Li", "--neighbors", "8", "--convolutions", "1", "--lag", "4", "--epochs", "3",
        "--restarts", "1", "--refits", "0",
        *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def fitted(files):
    assert main(fit_arguments(files, "--out", str(files / "fit"), "--report", "--quiet")) == 0
    return files / "fit"


def test_a_fit_tells_its_story_and_leaves_a_record(files, fitted):
    assert_documented(fitted, "fit", complete=["fit"])
    names = {path.name for path in fitted.iterdir()}
    assert {"model.safetensors", "run.json", "report.html", "transitions.csv", "rules.csv",
            "summary.txt", "probabilities.npz"} <= names  # fmt: skip
    record = json.loads((fitted / "run.json").read_text())
    assert record["command"] == "fit"
    assert record["command_line"].startswith("graphkoopman fit ")
    assert {"graphkoopman", "numpy", "torch", "deeptime"} <= set(record["versions"])
    assert record["options"]["seed"] == 0
    assert record["settings"]["lagtime"] == 4
    (first, box) = record["inputs"]
    assert first["bytes"] == (files / "first.xtc").stat().st_size
    assert len(first["sha256"]) == len(box["sha256"]) == 64
    assert record["wall_seconds"] > 0
    assert record["cpu_seconds"] > 0
    assert record["results"]["n_states"] == 2
    assert any("converge" in text or "epochs" in text or "start" in text
               for text in [*record["warnings"], *record["results"]["notes"]])  # fmt: skip
    summary = (fitted / "summary.txt").read_text()
    assert "2 states of Li at 4 ps" in summary
    assert "S within" in summary
    header = (fitted / "transitions.csv").read_text().splitlines()[0]
    assert header.startswith('from,to,K,"K, 95 % low"')
    assert "events" in header


def test_a_record_repeats_the_fit_to_the_last_bit(files, fitted):
    again = files / "again"
    assert main(["fit", "--config", str(fitted / "run.json"), "--out", str(again), "--quiet"]) == 0
    one = GDyNetEstimator.load(fitted / "model.safetensors")
    two = GDyNetEstimator.load(again / "model.safetensors")
    for (name, weight), other in zip(
        one.lobe_.state_dict().items(), two.lobe_.state_dict().values(), strict=True
    ):
        assert weight.numpy().tobytes() == other.numpy().tobytes(), name
    with np.load(fitted / "probabilities.npz") as a, np.load(again / "probabilities.npz") as b:
        assert a["trajectory_0"].tobytes() == b["trajectory_0"].tobytes()
    for name in ("populations.csv", "timescales.csv", "transitions.csv", "description.csv"):
        assert (fitted / name).read_bytes() == (again / name).read_bytes()


def test_a_record_is_refused_for_files_that_changed_and_other_commands(files, fitted, capsys):
    record = json.loads((fitted / "run.json").read_text())
    record["inputs"][0]["sha256"] = "0" * 64
    changed = files / "changed.json"
    changed.write_text(json.dumps(record))
    assert main(["fit", "--config", str(changed), "--out", str(files / "no")]) == 2
    assert "it has changed since" in capsys.readouterr().err
    changed.write_text(json.dumps({**record, "command": "analyze"}))
    assert main(["fit", "--config", str(changed), "--out", str(files / "no")]) == 2
    assert "got one of analyze" in capsys.readouterr().err
    changed.write_text("{}")
    assert main(["fit", "--config", str(changed), "--out", str(files / "no")]) == 2
    assert "must be a run.json" in capsys.readouterr().err
    assert main(["fit", "--out", str(files / "no")]) == 2
    assert "give trajectory files, or --config" in capsys.readouterr().err
    assert not (files / "no").exists()


def test_folders_are_replaced_whole_or_not_at_all(files, capsys, tmp_path):
    out = tmp_path / "out"
    (out / "mine").mkdir(parents=True)
    assert main(fit_arguments(files, "--out", str(out))) == 2
    assert "holds files already" in capsys.readouterr().err
    assert main(fit_arguments(files, "--out", str(out), "--overwrite")) == 2
    assert "only folders that graphkoopman wrote" in capsys.readouterr().err
    (out / "run.json").write_text("{}")
    assert main(fit_arguments(files, "--out", str(out), "--overwrite", "--quiet")) == 0
    assert not (out / "mine").exists()
    assert (out / "model.safetensors").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder"):
        check_output(tmp_path / "file", overwrite=True)


def test_a_model_knows_how_it_was_fed(files, fitted, capsys):
    fed = feed_of(fitted / "model.safetensors")
    assert fed["targets"] == "element Li"
    assert fed["neighbors"] == 8
    model, second = str(fitted / "model.safetensors"), str(files / "second.xtc")
    base = ["analyze", model, second, "--top", str(files / "box.pdb")]
    out = str(files / "analysis")
    assert main([*base, "--targets", "element S", "--out", out]) == 2
    assert "are 'element Li' in the model" in capsys.readouterr().err
    assert main([*base, "--neighbors", "9", "--out", out]) == 2
    assert "--neighbors is 8 in the model" in capsys.readouterr().err
    assert main([*base, "--out", out]) == 0
    printed = capsys.readouterr().out
    (_, closing) = printed.split("\nSummary\n")
    lines = closing.splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines[:-2])) <= 100  # the last two name files
    assert lines[0].startswith("2 states of Li at 4 ps")
    assert "slowest time" in lines[1]
    assert lines[2].startswith("read 1 run, 300 frames")
    assert [line.split(" (")[0] for line in lines[3:5]] == ["state 0", "state 1"]
    assert lines[5].startswith("most often")
    assert lines[-1].startswith("next: graphkoopman report")
    # the same atoms in other words are the same targets
    other = [*base, "--targets", "name Li", "--out", out, "--overwrite", "--quiet"]
    assert main(other) == 0


def test_json_and_quiet(files, fitted, capsys):
    model = str(fitted / "model.safetensors")
    arguments = [model, str(files / "second.xtc"), "--top", str(files / "box.pdb")]
    out = str(files / "quiet.html")
    assert main(["report", *arguments, "--out", out, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["report", *arguments, "--out", out]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["report", *arguments, "--out", out, "--overwrite", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    summary = json.loads(line)
    assert summary["n_states"] == 2
    assert summary["markovian"] in {"yes", "no", "can't tell"}
    assert np.shape(summary["koopman_matrix"]) == (2, 2)
    assert np.shape(summary["exchange_times_interval_ps"]) == (2, 2, 2)
    assert isinstance(summary["warnings"], list)
    assert "graphkoopman report" in (files / "quiet.html").read_text()


def test_export_follows_the_model(files, fitted, capsys):
    model = str(fitted / "model.safetensors")
    base = ["export", model, str(files / "second.xtc"), "--top", str(files / "box.pdb")]
    out = files / "states.xyz"
    assert main([*base, "--out", str(out)]) == 0
    assert "300 frames in" in capsys.readouterr().out
    frames = ase.io.read(out, index=":")
    assert len(frames) == 300
    assert set(frames[0].arrays["state"][frames[0].arrays["target"] >= 0]) <= {0, 1}
    assert main([*base, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*base, "--out", str(files / "states.what"), "--format", "lammpstrj"]) == 0


def test_control_c_saves_what_there_is(files, monkeypatch, capsys):
    make = _fit.estimator_of

    def interrupted(options, trajectories):
        # a second into the training, as its reader loses patience
        threading.Timer(2.0, signal.raise_signal, [signal.SIGINT]).start()
        return make(options, trajectories)

    monkeypatch.setattr(_fit, "estimator_of", interrupted)
    out = files / "interrupted"
    # a shell that starts tests in the background lets them ignore the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with trained_with(steps_per_epoch=20_000):
            assert main(fit_arguments(files, "--out", str(out), "--quiet")) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    error = capsys.readouterr().err
    assert "a signal stopped the training" in error
    assert "Traceback" not in error
    assert GDyNetEstimator.load(out / "model.safetensors").n_states == 2


def test_control_c_before_training_is_one_line(files, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_fit, "read_inputs", stop)
    assert main(fit_arguments(files, "--out", str(files / "nothing"))) == 130
    assert capsys.readouterr().err == "graphkoopman fit: interrupted\n"
    assert not (files / "nothing").exists()


def few_units_message():
    states = np.arange(40) // 10 % 2
    with pytest.warns(FewUnitsWarning) as caught:
        estimate_koopman(np.eye(2)[states], 1, n_bootstrap=10, random_state=0)
    return str(next(w.message for w in caught if w.category is FewUnitsWarning))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_warnings_come_once_at_the_end_in_words_of_the_command(capsys):
    console = Console("fit")
    for _ in range(3):
        console.warn(UserWarning("lower n_states, raise lagtime or max_epochs=50"))
    assert capsys.readouterr().err == ""
    console.finish()
    assert capsys.readouterr().err == (
        "graphkoopman fit: warning: lower --states, raise --lag or --epochs 50\n"
    )
    assert in_words_of_the_command("Use --restarts 3 (n_init=3).") == "Use --restarts 3."
    # remedies in Python are left out
    message = few_units_message()
    assert "read the *_interval methods" in message
    said = in_words_of_the_command(message)
    assert "_interval" not in said
    assert said.endswith("little can be known; give more data")
    # an identifier inside another word stays
    assert in_words_of_the_command("self.n_states, xn_states") == "self.n_states, xn_states"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("pass ignore_times=True (--ignore-times)", "pass --ignore-times"),
        (
            "pass timestep= and ignore_times=True (--timestep, --ignore-times)",
            "pass --timestep and --ignore-times",
        ),
        ("with elements={'OW': 'O'} (--elements OW=O)", "with --elements OW=O"),
        ("with exclude='name MW' (--exclude)", "with --exclude 'name MW'"),
        ("cell='none' (--cell none)", "--cell none"),
        ("a cell that is too small (--cell)", "a cell that is too small (--cell)"),
    ],
)
def test_what_is_said_in_both_languages_is_said_once(said, meant):
    assert in_words_of_the_command(said) == meant


def test_plain_values_for_json():
    values = {"a": np.array([1.0, np.nan, np.inf]), "b": (np.float64(2.0), None), "c": {1: "x"}}
    assert plain(values) == {"a": [1.0, None, "inf"], "b": [2.0, None], "c": {"1": "x"}}


def test_completion_knows_commands_and_options(capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "--overwrite" in script
    assert "analyze" in script
