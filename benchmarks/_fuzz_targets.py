"""What the fuzzers call: a strategy and a function for each public entry point."""

import atexit
import shutil
import tempfile
import warnings
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from hypothesis import strategies as st

from benchmarks._mutations import (
    json_leaves,
    json_values,
    junk,
    mutated,
    operations,
    outcome,
    replace_leaf,
)
from benchmarks._reader_files import Run, vasprun
from benchmarks._training_settings import trained_with
from graphkoopman import (
    GDyNetEstimator,
    GraphFeaturizer,
    GraphTrajectory,
    Trajectory,
    read_trajectory,
)
from graphkoopman.estimator._model_file import MODEL
from graphkoopman.graphs._trajectory import GRAPHS
from graphkoopman.lobes import AttentionPooling, GatedEncoder
from graphkoopman.storage import read_arrays, write_arrays
from graphkoopman.training import CHECKPOINT

SMALL = {
    "encoder": GatedEncoder(n_conv=1),
    "max_epochs": 1,
    "lagtime": 2,
    "random_state": 0,
}
WITH_TOP = ("xtc", "trr", "dcd", "nc", "mdcrd", "lammpstrj")
MDTRAJ = (*WITH_TOP, "pdb", "gro")
ASE = ("XDATCAR", "extxyz", "dump", "vasprun.xml")


def walk(n_frames: int = 30, n_atoms: int = 12, seed: int = 0) -> Trajectory:
    """A small random run."""
    rng = np.random.default_rng(seed)
    positions = rng.uniform(0, 7, (1, n_atoms, 3)) + rng.normal(0, 0.4, (n_frames, n_atoms, 3))
    species = np.tile([3, 16, 8], n_atoms)[:n_atoms]
    return Trajectory(positions, 7.0 * np.eye(3), species, timestep=0.5, targets="element Li")


@cache
def samples() -> Path:
    """A folder with a file of every kind, and the topology that belongs to them."""
    folder = Path(tempfile.mkdtemp(prefix="graphkoopman-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _write_trajectories(folder, walk())
        small_graphs().save(folder / "run.graphs")
        GDyNetEstimator(2, checkpoint_dir=folder, **SMALL).fit(small_graphs())
    return folder


def _write_trajectories(folder: Path, run: Trajectory) -> None:
    traj = run.to_mdtraj()
    traj[0].save(str(folder / "top.pdb"))
    for suffix in MDTRAJ:
        traj.save(str(folder / f"run.{suffix}"))
    (folder / "run.dump").write_bytes((folder / "run.lammpstrj").read_bytes())
    frames = [
        ase.Atoms(run.species, positions, cell=run.cell, pbc=True) for positions in run.positions
    ]
    for suffix, name in (("XDATCAR", "vasp-xdatcar"), ("extxyz", "extxyz")):
        ase.io.write(folder / f"run.{suffix}", frames, format=name)
    symbols = tuple(frames[0].get_chemical_symbols())
    times = 0.5 * np.arange(1, len(run) + 1)
    cells = np.repeat(np.asarray(run.cell)[None], len(run), 0)
    vasprun(folder / "run.vasprun.xml", Run(run.positions, cells, times, symbols, symbols))
    np.savez(
        folder / "run.npz",
        traj_coords=run.positions.astype(np.float32),
        lattices=np.array(run.cells),
        atom_types=run.species,
        target_index=np.arange(4),
        time_ps=np.arange(30) * 0.5,
    )


@cache
def small_graphs() -> GraphTrajectory:
    """Graphs of the small run."""
    return GraphFeaturizer(n_neighbors=4, n_hops=1).transform(walk())[0]


def construct(arguments: dict[str, Any]) -> None:
    """A trajectory with some arguments replaced, sliced and converted where it comes to be."""
    run = walk(4)
    good = {"positions": run.positions, "cell": run.cell, "species": run.species, "timestep": 1.0}
    trajectory = Trajectory(**good | arguments)
    trajectory[1:].to_mdtraj()


def featurize(arguments: dict[str, Any], n_frames: int, n_atoms: int, cell: Any) -> None:
    """Graphs of a small run in any cell with some settings replaced."""
    run = walk(n_frames, n_atoms)
    run = Trajectory(run.positions, cell, run.species, timestep=1.0, targets=[0])
    settings = {"n_neighbors": 4, "n_hops": 2} | arguments
    for graphs in GraphFeaturizer(**settings).fit_transform([run]):
        if len(graphs) != n_frames:
            raise RuntimeError("lost frames")


def estimate(arguments: dict[str, Any]) -> None:
    """A fit of two steps with some settings replaced."""
    settings = {"n_states": 2} | SMALL | arguments
    for name in ("max_epochs", "n_init"):
        if isinstance(settings.get(name), int):
            settings[name] = min(settings[name], 3)  # more is allowed, and takes long
    with tempfile.TemporaryDirectory() as folder, trained_with(steps_per_epoch=2):
        if isinstance(settings.get("checkpoint_dir"), str):
            settings["checkpoint_dir"] = folder
        GDyNetEstimator(**settings).fit(small_graphs()).transform(small_graphs())


def load(name: str, content: bytes) -> None:
    """Write bytes to a file and read it with the reader for its name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        use(path)


def load_structure(name: str, change: float, value: Any) -> None:
    """A well-formed file, checksums and all, with one value of its header replaced."""
    kind = {"model.safetensors": MODEL, "run.graphs": GRAPHS}.get(name, CHECKPOINT)
    arrays, header = read_arrays(samples() / name, kind)
    header = deepcopy(header)
    places = json_leaves(header)
    replace_leaf(header, places[int(change * len(places))], value)
    with tempfile.TemporaryDirectory() as folder:
        write_arrays(Path(folder) / name, kind, arrays, header)
        use(Path(folder) / name)


def use(path: Path) -> None:
    """Read a file and do with the contents what one does."""
    if path.name == "model.safetensors":
        GDyNetEstimator.load(path).transform(small_graphs())
    elif path.name == "checkpoint.safetensors":
        GDyNetEstimator(2, checkpoint_dir=path.parent, **SMALL).fit(small_graphs())
    elif path.name == "run.graphs":
        for mmap in (True, False):
            graphs = GraphTrajectory.load(path, mmap=mmap)
            GDyNetEstimator(2, **SMALL).fit(graphs[:20])
    else:
        suffix = path.suffix[1:]
        top = samples() / "top.pdb" if suffix in (*WITH_TOP, "dump") else None
        run = read_trajectory(path, top, None if suffix == "npz" else 0.5)
        GraphFeaturizer(targets=[0], n_neighbors=4, n_hops=1).fit(run)


def encoder_with(settings: dict[str, Any]) -> GatedEncoder:
    """An encoder with some settings replaced."""
    return GatedEncoder(**{"n_conv": 1} | settings)


def some_of(strategies: dict[str, Any]) -> Any:
    """One or two arguments by name, each from its strategy or junk."""
    one = st.sampled_from(sorted(strategies)).flatmap(
        lambda name: st.tuples(st.just(name), strategies[name] | junk)
    )
    return st.lists(one, min_size=1, max_size=2).map(dict)


numbers = st.integers(-1, 5)


def _cells(spread: float) -> Any:
    entries = st.lists(st.floats(-spread, spread), min_size=9, max_size=9)
    return entries.map(lambda values: np.reshape(values, (3, 3)) + 8.0 * np.eye(3))


cells = st.none() | _cells(2.0) | _cells(12.0)
TRAJECTORY = {
    "positions": st.floats().map(lambda x: np.full((4, 12, 3), x)),
    "cell": cells,
    "species": st.lists(st.integers(-1, 130), min_size=12, max_size=12),
    "timestep": st.floats(),
    "topology": junk,
    "targets": junk,
    "parent": st.text(max_size=3),
    "start": numbers,
}
FEATURIZER = {
    "targets": st.sampled_from(["element Li", "index 1 2", "index 1 to 3", "name Li", "all"])
    | st.lists(st.integers(-1, 12), max_size=4),
    "n_neighbors": st.integers(-1, 30),
    "cutoff": st.floats(-1, 9),
    "n_hops": numbers,
    "species_labels": st.lists(st.integers() | st.text(max_size=2), max_size=12),
    "n_jobs": st.sampled_from([None, 1, 2]),
}
ESTIMATOR = {
    "n_states": st.integers(-1, 6),
    "lagtime": st.integers(-1, 31),
    "encoder": some_of(
        {
            "n_conv": numbers,
            "n_features": st.integers(-1, 20),
            "r_max": st.floats(-1, 30),
            "normalization": st.sampled_from([None, "layer", "batch"]),
            "aggregation": st.sampled_from(["sum", "mean"]),
        }
    ).map(encoder_with),
    "pooling": st.integers(-1, 20).map(AttentionPooling),
    "n_hidden": st.integers(-1, 20),
    "objective": st.sampled_from(["VAMP1", "VAMP2", "VAMPE", ("VAMP2", "VAMP1")]),
    "learning_rate": st.floats(-1, 100),
    "max_epochs": st.integers(-1, 2),
    "patience": numbers,
    "batch_size": st.integers(-1, 50),
    "chunk_size": st.integers(-1, 50),
    "n_init": st.integers(-1, 2),
    "checkpoint_dir": st.just("a folder"),
    "reversible": st.booleans(),
    "init_from": st.sampled_from(["a file", 3]),
    "freeze": st.sampled_from([None, "encoder", "head"]),
    "device": st.sampled_from(["auto", "cpu", "cuda", "meta", "tpu"]),
    "random_state": st.integers(-1, 2**33),
}
OURS = ("model.safetensors", "run.graphs", "checkpoint.safetensors")
TRAJECTORY_FILES = tuple(f"run.{suffix}" for suffix in (*MDTRAJ, *ASE, "npz"))


def mutations_of(name: str) -> Any:
    """Arguments of `load` for mutations of a sample file, which is written when first used."""
    return st.tuples(
        st.just(name),
        operations.map(lambda changes: mutated((samples() / name).read_bytes(), changes)),
    )


def targets() -> dict[str, tuple[Any, Callable[..., None]]]:
    """Strategy of the arguments, and function, of everything that is fuzzed in this process."""
    small = {"n_frames": st.integers(1, 4), "n_atoms": st.integers(1, 12)}
    return {
        "Trajectory": (st.tuples(some_of(TRAJECTORY)), construct),
        "GraphFeaturizer": (
            st.tuples(some_of(FEATURIZER), small["n_frames"], small["n_atoms"], cells),
            featurize,
        ),
        "GDyNetEstimator": (st.tuples(some_of(ESTIMATOR)), estimate),
        **{f"bytes of {name}": (mutations_of(name), load) for name in OURS},
        **{
            f"header of {name}": (
                st.tuples(st.just(name), st.floats(0, 1, exclude_max=True), json_values),
                load_structure,
            )
            for name in OURS
        },
        **{f"bytes of {name}": (mutations_of(name), load) for name in TRAJECTORY_FILES},
    }


def run_one(function: Callable[..., None], arguments: tuple) -> str:
    """Outcome of one execution; warnings are no failures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return outcome(function, *arguments)
