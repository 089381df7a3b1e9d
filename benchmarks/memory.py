"""Peak memory of featurising and fitting. ``python -m benchmarks.memory``

A random gas of 4000 atoms and 2000 frames with 50 targets, M = 20, n_hops = 3, whose receptive
field is nearly the whole box. Prints the peak resident memory of the process after every stage.
"""

import argparse
import resource
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks._tables import markdown
from graphkoopman import GDyNetEstimator, GraphFeaturizer, Trajectory

DENSITY = 0.05  # atoms per Å^3
STEP = 0.05  # Å per frame and direction


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


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, default=4000)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--targets", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    rows = []

    def stage(name: str, begin: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append([name, f"{time.perf_counter() - begin:.0f}", f"{peak:.2f}"])
        print(rows[-1], flush=True)

    begin = time.perf_counter()
    trajectory = random_walk(options.atoms, options.frames)
    stage("trajectory", begin)
    begin = time.perf_counter()
    targets = np.arange(0, 4 * options.targets, 4)
    graphs = GraphFeaturizer(targets=targets, n_neighbors=20, n_hops=3).fit_transform(trajectory)
    stage(f"graphs, {graphs[0].nbytes / 2**30:.2f} GiB", begin)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        GDyNetEstimator(2, 10, max_epochs=options.epochs, random_state=0).fit(graphs)
    stage(f"fit, {options.epochs} epochs", begin)
    print(markdown(["stage", "seconds", "peak resident / GiB"], rows))


if __name__ == "__main__":
    main()
