"""Cut the samples of `graphkoopman.datasets.load_example` from a folder of whole trajectories.

``python tutorials/make_samples.py FOLDER`` needs MDAnalysis, which writes xtc files of a chosen
precision: 0.04 Å here, a small part of what atoms vibrate.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
from MDAnalysis.lib.formats.libmdaxdr import XTCFile

from graphkoopman import Trajectory
from graphkoopman.datasets import Example, load_example
from graphkoopman.datasets._examples import SAMPLES

N_FRAMES = {
    "Li6PS5Cl_0p": 160,
    "Li6PS5Cl_50p": 160,
    "Li6PS5Cl_100p": 160,
    "peo_litfsi": 240,
    "si_sw": 240,
    "water": 120,
}
PRECISION = 250.0  # 1/nm


def write(run: Trajectory, path: Path) -> None:
    """Positions and cells as xtc, in nm."""
    with XTCFile(str(path), "w") as file:
        for k, positions in enumerate(run.positions):
            nm, cell = (np.asarray(array / 10.0, np.float32) for array in (positions, run.cells[k]))
            file.write(nm, cell, k, k * run.timestep, PRECISION)


def pieces_of(example: Example, n_frames: int) -> list[Trajectory]:
    """Beginnings of runs, or both sides of a seam between files."""
    runs = example.trajectories
    if not example.name.startswith("Li6PS5"):
        return [run[:n_frames] for run in runs]
    first, second = runs[:2]  # the second goes on where the first ends
    return [first[len(first) - n_frames // 2 :], second[: n_frames // 2]]


def main(folder: str) -> None:
    """Write all samples."""
    SAMPLES.mkdir(exist_ok=True)
    for name, n_frames in N_FRAMES.items():
        example = load_example(name, folder=folder)
        pieces = pieces_of(example, n_frames)
        for k, run in enumerate(pieces):
            write(run, SAMPLES / f"{name}_{k + 1}.xtc")
        run = pieces[0]
        arrays = {"species": run.species, "cell": run.cell, "timestep": run.timestep}
        if run.targets is not None:
            arrays["targets"] = run.targets
        for label, values in example.labels.items():  # those of frames end with the frames
            arrays[label] = values[:n_frames] if len(values) == len(example) else values
        np.savez_compressed(SAMPLES / f"{name}.npz", **arrays)
        topology = Path(folder) / "md" / f"{name}.pdb"
        if topology.is_file():
            with gzip.GzipFile(SAMPLES / f"{name}.pdb.gz", "wb", mtime=0) as file:
                file.write(topology.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1])
