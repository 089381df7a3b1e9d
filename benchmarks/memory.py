"""Peak memory of featurising, fitting and single steps. ``python -m benchmarks.memory``

First, fresh processes make one step on whole trajectories of more and more frames at a fixed
``chunk_size``: the peak above the stored graphs must not grow. What does grow are features,
gradients and pairs, 32 bytes per frame and target at three states; the details list them.
Then the peak resident memory of a process after every stage from a trajectory to a fit, on a random
gas of 4000 atoms and 2000 frames with 50 targets, M = 20, n_hops = 3, whose receptive field is
nearly the whole box.
"""

import argparse
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks._rows import Row, peak_memory, report
from benchmarks._systems import system
from benchmarks._tables import markdown
from benchmarks.training_step import N_STATES, ours_of
from graphkoopman import GDyNetEstimator, GraphFeaturizer, GraphTrajectory, Trajectory

DENSITY = 0.05  # atoms per Å^3
STEP = 0.05  # Å per frame and direction
FRAMES = (1000, 5000, 20_000)
# system, targets, n_conv, chunk_size
CASES = (("interface", 10, 2, 500), ("interface", 10, 3, 200))
BYTES_PER_ROW = 2 * 4 * N_STATES + 2 * 4  # features, gradient, both ends of a pair


def random_walk(n_atoms: int, n_frames: int, seed: int = 0) -> Trajectory:
    """Atoms that diffuse independently in a cubic cell."""
    rng = np.random.default_rng(seed)
    edge = (n_atoms / DENSITY) ** (1 / 3)
    positions = np.empty((n_frames, n_atoms, 3), np.float32)
    positions[0] = rng.uniform(0, edge, (n_atoms, 3))
    for frame in range(1, n_frames):
        positions[frame] = positions[frame - 1] + STEP * rng.standard_normal((n_atoms, 3))
    species = np.where(np.arange(n_atoms) % 4 == 0, 3, 8)
    return Trajectory(positions, edge * np.eye(3), species, timestep=1.0)


def step_rows(frames: Sequence[int] = FRAMES) -> list[Row]:
    """Peak of a step on whole trajectories over that on the shortest, beyond the stored graphs."""
    return [row for case in CASES for row in case_rows(*case, frames)]


def case_rows(
    name: str, n_targets: int, n_conv: int, chunk_size: int, frames: Sequence[int]
) -> list[Row]:
    """Rows of one system, the first against itself."""
    this = system(name, max(frames), n_targets=n_targets)
    peaks: list[float] = []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        featurizer = GraphFeaturizer(n_neighbors=this.n_neighbors, n_hops=n_conv, cache_dir=folder)
        for n_frames in frames:
            (graphs,) = featurizer.transform(this.trajectory[:n_frames])
            path = Path(folder) / f"{n_frames}.graphs"
            graphs.save(path)
            peaks.append(peak_memory(_whole_step, str(path), n_conv, chunk_size))
            label = f"{name}, {n_targets} targets, n_conv={n_conv}, chunk_size={chunk_size}"
            details = {
                "frames": n_frames,
                "MiB": peaks[-1] / 2**20,
                "of it features and pairs": n_frames * n_targets * BYTES_PER_ROW / 2**20,
                "stored graphs": graphs.nbytes / 2**20,
            }
            against = f"{frames[0]} frames"
            rows.append(
                Row("memory of a whole step", label, against, [peaks[-1] / peaks[0]], None, details)
            )
    return rows


def _whole_step(path: str, n_conv: int, chunk_size: int) -> Callable[[], float]:
    graphs = GraphTrajectory.load(path)
    ours_of([graphs[:8]], n_conv, 4, start=False).step()  # compiles
    return ours_of([graphs], n_conv, chunk_size, start=False).step


def stages(n_atoms: int, n_frames: int, n_targets: int, n_epochs: int) -> str:
    """Table of the peak after every stage of this process."""
    rows = []

    def stage(name: str, begin: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append([name, f"{time.perf_counter() - begin:.0f}", f"{peak:.2f}"])
        print(rows[-1], flush=True)

    begin = time.perf_counter()
    trajectory = random_walk(n_atoms, n_frames)
    stage("trajectory", begin)
    begin = time.perf_counter()
    targets = np.arange(0, 4 * n_targets, 4)
    graphs = GraphFeaturizer(targets=targets, n_neighbors=20, n_hops=3).fit_transform(trajectory)
    stage(f"graphs, {graphs[0].nbytes / 2**30:.2f} GiB", begin)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        GDyNetEstimator(2, 10, max_epochs=n_epochs, random_state=0).fit(graphs)
    stage(f"fit, {n_epochs} epochs", begin)
    return markdown(["stage", "seconds", "peak resident / GiB"], rows)


def main() -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, default=4000)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--targets", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--step-frames", type=int, nargs="+", default=FRAMES)
    parser.add_argument("--steps-only", action="store_true", help="leave the stages out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.steps_only:
        print(stages(options.atoms, options.frames, options.targets, options.epochs))
    report("memory", step_rows(options.step_frames))


if __name__ == "__main__":
    main()
