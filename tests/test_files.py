"""Models, graphs and checkpoints on disk: whole or refused, and never executed."""

import errno
import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.exceptions import ConvergenceWarning

from benchmarks._training_settings import trained_with
from graphkoopman import GDyNetEstimator, GraphFeaturizer, GraphTrajectory
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.estimator._model_file import MODEL
from graphkoopman.graphs._trajectory import GRAPHS
from graphkoopman.lobes import GatedEncoder
from graphkoopman.storage import read_arrays, write_arrays
from graphkoopman.training._checkpoint import CHECKPOINT

KINDS = {"model": MODEL, "graphs": GRAPHS, "mapped graphs": GRAPHS, "checkpoint": CHECKPOINT}


@pytest.fixture(scope="module")
def graphs():
    data = make_hopping(chain_rates(2, slowest=20.0), 200, random_state=0)
    return GraphFeaturizer(n_neighbors=8, n_hops=1).fit_transform(data.trajectory[:150])[0]


@pytest.fixture(scope="module")
def written(graphs, tmp_path_factory):
    """A file of every kind, written by the public interface."""
    folder = tmp_path_factory.mktemp("files")
    estimator = small_estimator(checkpoint_dir=folder)
    # two epochs of little data, on purpose
    with pytest.warns(ConvergenceWarning):
        estimator.fit(graphs)
    graphs.save(folder / "run.graphs")
    return {
        "model": folder / "model.safetensors",
        "graphs": folder / "run.graphs",
        "mapped graphs": folder / "run.graphs",
        "checkpoint": folder / "checkpoint.safetensors",
    }


def small_estimator(**changes):
    settings = {
        "n_states": 2,
        "lagtime": 3,
        "encoder": GatedEncoder(1),
        "max_epochs": 2,
        "random_state": 0,
    }
    return GDyNetEstimator(**settings | changes)


@pytest.fixture(params=KINDS)
def file(request, written, graphs, tmp_path):
    """A copy of a file, and the public way to read it."""
    name = written[request.param].name
    path = tmp_path / name
    path.write_bytes(written[request.param].read_bytes())
    readers = {
        "model": lambda: GDyNetEstimator.load(path),
        "graphs": lambda: GraphTrajectory.load(path),
        "mapped graphs": lambda: GraphTrajectory.load(path, mmap=True),
        "checkpoint": lambda: small_estimator(checkpoint_dir=tmp_path).fit(graphs),
    }
    return SimpleNamespace(path=path, read=readers[request.param], kind=KINDS[request.param],
                           mapped=request.param == "mapped graphs")  # fmt: skip


@pytest.mark.filterwarnings("ignore:training was still improving")
def test_whole_files_are_read(file):
    assert file.read() is not None


@pytest.mark.parametrize("damage", ["empty", "text", "start", "half", "last byte", "one too many"])
def test_truncated_and_foreign_files(file, damage):
    whole = file.path.read_bytes()
    file.path.write_bytes({
        "empty": b"",
        "text": b"some text, longer than a header",
        "start": whole[:90],
        "half": whole[: len(whole) // 2],
        "last byte": whole[:-1],
        "one too many": whole + b"\0",
    }[damage])  # fmt: skip
    message = f"{re.escape(str(file.path))} is not a readable {file.kind.noun}"
    with pytest.raises(ValueError, match=message):
        file.read()


def test_no_changed_byte_goes_unnoticed(file):
    whole = file.path.read_bytes()
    n_header = 8 + int.from_bytes(whole[:8], "little")
    # the arrays of a mapped file are not read, which is what mapping is for
    end = n_header if file.mapped else len(whole)
    rng = np.random.default_rng(0)
    for position in [*rng.integers(0, n_header, 40), *rng.integers(0, end, 40)]:
        changed = bytearray(whole)
        changed[position] ^= 1 << int(rng.integers(8))
        if changed[position : position + 1].isspace() and whole[position] == 32:
            continue  # one space for another, in the padding of the header
        file.path.write_bytes(changed)
        with pytest.raises(ValueError, match=re.escape(str(file.path))):
            file.read()


def test_mapped_files_are_verified_on_demand(written, tmp_path):
    path = tmp_path / "run.graphs"
    whole = bytearray(written["graphs"].read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    GraphTrajectory.load(path, mmap=True)
    for options in ({"mmap": True, "verify": True}, {}):
        with pytest.raises(ValueError, match=r"damaged graph file: the values of '\w+' changed"):
            GraphTrajectory.load(path, **options)
    assert len(GraphTrajectory.load(path, verify=False)) == 150


def test_damaged_indices_of_mapped_graphs_are_refused_in_use(written, tmp_path, graphs):
    arrays, header = read_arrays(written["graphs"], GRAPHS)
    bad_values = (("atoms", 255), ("neighbors", 255), ("distances", np.nan), ("distances", -1.0))
    for name, value in bad_values:
        changed = arrays[name].copy()
        changed[100] = value
        write_arrays(tmp_path / "run.graphs", GRAPHS, arrays | {name: changed}, header)
        loaded = GraphTrajectory.load(tmp_path / "run.graphs", mmap=True)
        with pytest.raises(ValueError, match="index or a distance out of range"):
            small_estimator().fit(loaded)


def test_other_kinds_and_newer_versions(file):
    arrays, header = read_arrays(file.path, file.kind)
    write_arrays(file.path, replace(file.kind, version=999), arrays, header)
    newest = f"format version 999.* up to {file.kind.version}; upgrade graphkoopman"
    with pytest.raises(ValueError, match=newest):
        file.read()
    if file.kind.oldest > 1:
        write_arrays(file.path, replace(file.kind, version=1), arrays, header)
        with pytest.raises(
            ValueError, match=r"format version 1 of an earlier graphkoopman.* again"
        ):
            file.read()
    write_arrays(file.path, replace(file.kind, format="other"), arrays, header)
    with pytest.raises(ValueError, match=f"is not a graphkoopman {file.kind.noun}"):
        file.read()
    save_file(load_file(file.path), file.path)
    with pytest.raises(ValueError, match=f"is not a graphkoopman {file.kind.noun}"):
        file.read()


class Malicious:
    """Runs a command when a pickle of it is read."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


@pytest.mark.parametrize("writer", ["pickle", "torch", "numpy", "joblib"])
def test_pickles_do_nothing(file, tmp_path, writer):
    import joblib

    marker = tmp_path / "executed"
    bad = Malicious(marker)
    with file.path.open("wb") as target:
        {
            "pickle": lambda: pickle.dump(bad, target),
            "torch": lambda: torch.save({"weights": bad}, target),
            "numpy": lambda: np.save(target, np.array([bad]), allow_pickle=True),
            "joblib": lambda: joblib.dump(bad, target),
        }[writer]()
    with pytest.raises(ValueError, match="is not a readable"):
        file.read()
    assert not marker.exists()


def test_pickles_inside_a_well_formed_file_do_nothing(file, tmp_path):
    marker = tmp_path / "executed"
    arrays, header = read_arrays(file.path, file.kind)
    poison = np.frombuffer(pickle.dumps(Malicious(marker)), np.uint8)
    write_arrays(file.path, file.kind, {"data.pkl": poison}, header)
    with pytest.raises(ValueError, match=re.escape(str(file.path))):
        file.read()
    header = {"__reduce__": pickle.dumps(Malicious(marker)).hex()}
    write_arrays(file.path, file.kind, arrays, header)
    with pytest.raises(ValueError, match=re.escape(str(file.path))):
        file.read()
    assert not marker.exists()


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 200_000_000])
def test_oversized_headers(file, length):
    with file.path.open("wb") as target:
        target.write(length.to_bytes(8, "little"))
        target.write(b"{")
        target.truncate(300_000_000)  # a hole, no disk space
    with pytest.raises(ValueError, match="is not a readable"):
        file.read()


def test_deep_headers(file):
    text = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    file.path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ValueError, match="is not a readable"):
        file.read()
    arrays = {"a": np.zeros(3)}
    nested = json.loads("[" * 500 + "]" * 500)
    write_arrays(file.path, file.kind, arrays, nested)
    with pytest.raises(ValueError, match=re.escape(str(file.path))):
        file.read()


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "lobe.../outside"])
def test_names_of_arrays_are_no_paths(file, tmp_path, name):
    arrays, header = read_arrays(file.path, file.kind)
    before = sorted(path.name for path in tmp_path.parent.iterdir())
    write_arrays(file.path, file.kind, arrays | {name: np.zeros(3)}, header)
    if file.kind is not CHECKPOINT:  # a checkpoint's arrays are those its state names
        with pytest.raises(ValueError, match=re.escape(str(file.path))):
            file.read()
    assert sorted(path.name for path in tmp_path.parent.iterdir()) == before


HOSTILE_SETTINGS = [
    ({"checkpoint_dir": "/etc"}, "names a folder to write to"),
    ({"n_states": 10}, "does not fit the settings"),
    ({"n_hidden": -1}, "n_hidden must be an integer"),
    ({"unknown": 1}, "unexpected keyword"),
    ({"device": ["cpu"]}, "device must be a string"),
    ({"init_from": "/etc/passwd"}, "names a file to read"),
]
HOSTILE_PARTS = [
    ("encoder", "GatedEncoder", {"n_features": 10_000}, "does not fit the settings"),
    ("encoder", "GatedEncoder", {"n_features": 10**9}, "n_features must be at most 10000"),
    ("encoder", "GatedEncoder", {"n_conv": 90}, "does not fit the settings"),
    ("encoder", "GatedEncoder", {"n_conv": 10**9}, "n_conv must be at most 100"),
    ("encoder", "GatedEncoder", {"r_max": 1e300}, "r_max must be at most 1000"),
    ("encoder", "GatedEncoder", {"code": "print()"}, "unexpected keyword"),
    ("encoder", "os.system", {}, "encoder 'os.system' is not registered, known are"),
    ("pooling", "GatedEncoder", {}, "pooling 'GatedEncoder' is not registered, known are"),
    ("pooling", "AttentionPooling", {"n_hidden": 10**9}, "must be at most 10000"),
    ("pooling", "AttentionPooling", {"n_hidden": 8}, "does not fit the settings"),
]


@pytest.mark.parametrize(("settings", "message"), HOSTILE_SETTINGS)
def test_models_with_hostile_settings(written, tmp_path, settings, message):
    arrays, header = read_arrays(written["model"], MODEL)
    path = tmp_path / "model.safetensors"
    write_arrays(path, MODEL, arrays, header | {"settings": header["settings"] | settings})
    with pytest.raises(ValueError, match=message):
        GDyNetEstimator.load(path)


@pytest.mark.parametrize(("kind", "name", "settings", "message"), HOSTILE_PARTS)
def test_models_with_hostile_parts(written, tmp_path, kind, name, settings, message):
    arrays, header = read_arrays(written["model"], MODEL)
    for place in ("parts", "settings"):
        header[place] = header[place] | {kind: {"class": name, "settings": settings}}
    write_arrays(tmp_path / "model.safetensors", MODEL, arrays, header)
    with pytest.raises(ValueError, match=message):
        GDyNetEstimator.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("missing", ["settings", "species", "states", "moments", "fitted"])
def test_models_without_a_part(written, tmp_path, missing):
    arrays, header = read_arrays(written["model"], MODEL)
    header.pop(missing)
    write_arrays(tmp_path / "model.safetensors", MODEL, arrays, header)
    with pytest.raises(ValueError, match=f"incomplete or inconsistent model file .'{missing}'"):
        GDyNetEstimator.load(tmp_path / "model.safetensors")


def test_models_that_are_not_finite(written, tmp_path):
    arrays, header = read_arrays(written["model"], MODEL)
    arrays["lobe.head.hidden.bias"][0] = np.nan
    write_arrays(tmp_path / "model.safetensors", MODEL, arrays, header)
    with pytest.raises(ValueError, match=r"lobe\.head\.hidden\.bias is not finite"):
        GDyNetEstimator.load(tmp_path / "model.safetensors")


def test_models_of_a_gpu_load_without_one(written, tmp_path):
    arrays, header = read_arrays(written["model"], MODEL)
    header["settings"]["device"] = "cuda:99"
    write_arrays(tmp_path / "model.safetensors", MODEL, arrays, header)
    with pytest.warns(RuntimeWarning, match="loaded with device='auto'"):
        loaded = GDyNetEstimator.load(tmp_path / "model.safetensors")
    assert loaded.device == "auto"


def change_graphs(written, path, **changes):
    arrays, header = read_arrays(written["graphs"], GRAPHS)
    for name, value in changes.items():
        if name in header:
            header[name] = value
        elif value is None:
            del arrays[name]
        else:
            arrays[name] = value(arrays[name].copy())
    write_arrays(path, GRAPHS, arrays, header)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_counts": lambda a: a[:, ::-1]}, "do not grow"),
        ({"hop_counts": lambda a: a[:, 0]}, "hop_counts has dtype"),
        ({"atom_offsets": lambda a: a + 1}, "atom_offsets do not fit"),
        ({"edge_offsets": lambda a: a[::-1]}, "edge_offsets do not fit"),
        ({"atoms": lambda a: a[:-1]}, "atoms hold"),
        ({"neighbors": lambda a: a.astype(np.int64)}, "neighbors has dtype int64"),
        ({"distances": None}, "'distances'. missing"),
        ({"target_offsets": lambda a: a[:-1]}, "target_offsets do not fit"),
        ({"n_neighbors": 7}, "edge_offsets do not fit"),
        ({"n_neighbors": None}, "n_neighbors is None"),
        ({"cutoff": 3.0}, "cutoff 3.0"),
        ({"timestep": -1.0}, "timestep is -1.0"),
        ({"timestep": 10**30}, "timestep is 1000000"),
        ({"start": "0"}, "start is '0'"),
        ({"start": -(10**30)}, "start is -1000000"),
        ({"n_neighbors": 10**30}, "n_neighbors is 1000000"),
    ],
)
def test_inconsistent_graphs(written, tmp_path, changes, message, mmap):
    change_graphs(written, tmp_path / "run.graphs", **changes)
    with pytest.raises(ValueError, match=f"not a consistent graph file .*{message}"):
        GraphTrajectory.load(tmp_path / "run.graphs", mmap=mmap)


def failing(code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


LIMITED = """
import resource, sys, numpy as np
from graphkoopman import GDyNetEstimator, GraphTrajectory
folder = sys.argv[1]
estimator = GDyNetEstimator.load(folder + "/model.safetensors")
graphs = GraphTrajectory.load(folder + "/run.graphs")
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for save, name in ((estimator.save, "/model.safetensors"), (graphs.save, "/run.graphs")):
    try:
        save(folder + name)
    except OSError as error:
        print(error)
try:
    estimator.set_params(checkpoint_dir=folder).fit(graphs)
except OSError as error:
    print(error)
"""


def test_full_disk(written, tmp_path):
    """A limit on the size of files, which the kernel enforces like a disk that is full."""
    for path in set(written.values()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("could not write (File too large)") == 3, done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.filterwarnings("ignore:training was still improving")
def test_disk_that_fills_during_a_fit(graphs, tmp_path, monkeypatch):
    settings = {"checkpoint_dir": tmp_path}
    count = iter(range(1, 1000))
    fsync = os.fsync

    def full_later(descriptor):
        # the first save syncs the file and its folder
        return fsync(descriptor) if next(count) < 8 else failing(errno.ENOSPC)()

    with monkeypatch.context() as patch, trained_with(checkpoint_interval=0.0):
        patch.setattr(os, "fsync", full_later)
        with (
            pytest.warns(RuntimeWarning, match=r"No space left.*training goes on"),
            pytest.raises(OSError, match=r"No space left.*model\.safetensors"),
        ):
            small_estimator(**settings).fit(graphs)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    resumed = small_estimator(**settings).fit(graphs)
    plain = small_estimator().fit(graphs)
    for name, value in plain.lobe_.state_dict().items():
        assert torch.equal(value, resumed.lobe_.state_dict()[name]), name
