"""Fits killed at random moments go on bit for bit. ``python -m benchmarks.kill``

Each row: a fit in a process of its own with a checkpoint after every step is sent a signal at a
random moment, every file it left is read, a second process fits again, and the hash of its final
parameters is compared with that of a fit left alone. Takes about a minute per kill.
"""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks._tables import markdown
from benchmarks._training_settings import trained_with
from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.lobes import GatedEncoder
from graphkoopman.storage import read_arrays
from graphkoopman.training import CHECKPOINT

ROOT = Path(__file__).parents[1]
BEGUN = "training"  # what a fit prints when it starts


def fit(folder: Path, n_frames: int, max_epochs: int) -> None:
    """Fit with checkpoints in a folder; print when it starts and the hash of the parameters."""
    torch.set_num_threads(1)
    data = make_hopping(chain_rates(2, slowest=25.0), n_frames, random_state=0)
    graphs = GraphFeaturizer(n_neighbors=8, n_hops=2).fit_transform(data.trajectory)
    estimator = GDyNetEstimator(
        2, 5, encoder=GatedEncoder(n_conv=2), n_init=2, max_epochs=max_epochs,
        patience=max_epochs, random_state=0,
        checkpoint_dir=folder,
    )  # fmt: skip
    print(BEGUN, flush=True)
    with warnings.catch_warnings(), trained_with(checkpoint_interval=0.0):
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(graphs)
    digest = hashlib.blake2b(digest_size=16)
    for name, value in estimator.lobe_.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    digest.update(estimator.fetch_model().koopman_matrix.tobytes())
    print(digest.hexdigest(), flush=True)


def start(folder: Path, size: tuple[int, int]) -> subprocess.Popen[str]:
    """A fit in a process of its own, returned when its training starts."""
    words = [sys.executable, "-m", "benchmarks.kill", "--fit", str(folder)]
    words += ["--frames", str(size[0]), "--epochs", str(size[1])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    while process.stdout.readline().strip() != BEGUN:
        if process.poll() is not None:
            raise RuntimeError(f"the fit ended with {process.returncode} before it began")
    return process


def finish(folder: Path, size: tuple[int, int]) -> tuple[str, float]:
    """Hash of the parameters of a fit left alone, and its seconds."""
    process = start(folder, size)
    begin = time.perf_counter()
    text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the fit ended with {process.returncode}")
    return text.strip(), time.perf_counter() - begin


def interrupt(
    folder: Path, number: signal.Signals, size: tuple[int, int], wait: Callable[[], None]
) -> dict[str, Any]:
    """Send a fit a signal after waiting from its start, and read every file that it left."""
    process = start(folder, size)
    wait()
    process.send_signal(number)
    process.communicate()
    checkpoint, model = folder / "checkpoint.safetensors", folder / "model.safetensors"
    if model.exists():
        GDyNetEstimator.load(model)
    return {
        "ended by": signal.Signals(-process.returncode).name if process.returncode else "end",
        "steps saved": steps_done(checkpoint) if checkpoint.exists() else 0,
        "partial files": len(list(folder.glob(".*.partial"))),
        "model left": model.exists(),
    }


def steps_done(checkpoint: Path) -> int:
    """Steps in a checkpoint, at least: ten per epoch, more on all frames; raises unless whole."""
    _, header = read_arrays(checkpoint, CHECKPOINT)
    runs = header["state"]["runs"]
    return sum(10 * len(run["result"]["history"]) + run["position"]["step"] for run in runs)


def main() -> None:
    """Run and print the table; exit 1 unless all parameters are the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10, help="per signal")
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=12, help="per run, of two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = options.frames, options.epochs
    if options.fit is not None:
        fit(options.fit, *size)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        reference, seconds = finish(Path(folder), size)
    print(f"left alone: {seconds:.1f} s, {20 * options.epochs} steps, hash {reference}", flush=True)
    rng = np.random.default_rng(options.seed)
    rows = []
    for number in (signal.SIGKILL, signal.SIGTERM):
        for delay in rng.uniform(0.0, seconds, options.kills):
            with tempfile.TemporaryDirectory() as folder:
                row = interrupt(Path(folder), number, size, partial(time.sleep, delay))
                row["same"] = finish(Path(folder), size)[0] == reference
            rows.append([number.name, f"{delay:.2f}", *row.values()])
            print(rows[-1], flush=True)
    print(markdown(["signal", "after / s", *row], rows))
    n_same = sum(row[-1] for row in rows)
    print(f"\n{n_same} of {len(rows)} resumed fits have the parameters of the fit left alone")
    if n_same < len(rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
