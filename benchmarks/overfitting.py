"""Cross-validated scores of networks that learn the noise. ``python -m benchmarks.overfitting``

Cages with two states (40 ps) and so much vibration that single frames are ambiguous, and little
data: 1 ns of two targets. Early stopping is switched off (a patience beyond the number of epochs,
validation on 6 % of the frames), so that capacity shows. The scores of
4-fold cross-validation on the short data stand beside those on long data that no network has seen,
the mean over the networks of the folds. The table shows medians over data sets.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_validate

from benchmarks._tables import markdown, resumable
from benchmarks._training_settings import trained_with
from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.graphs import GraphTrajectory
from graphkoopman.koopman import InvalidTimescaleWarning
from graphkoopman.lobes import GatedEncoder
from graphkoopman.model_selection import KoopmanScorer, SegmentKFold, time_pieces

LAG = 5
N_SPLITS = 4
NETWORKS = [(2, 10), (2, 50), (3, 50), (4, 50), (6, 50)]
SCORES = ("vamp2", "vampe_cv")
NOTHING_TO_TELL = (ConvergenceWarning, InvalidTimescaleWarning)


def graphs_of(n_frames: int, n_targets: int, seed: int) -> list[GraphTrajectory]:
    """Graphs of noisy two-state cages."""
    data = make_hopping(
        chain_rates(2, slowest=40.0),
        n_frames,
        n_targets=n_targets,
        vibration=0.4,
        random_state=seed,
    )
    return GraphFeaturizer(n_neighbors=8, n_hops=1).transform([data.trajectory])


def one_network(n_states: int, n_epochs: int, seed: int) -> dict[str, Any]:
    """Training, cross-validated and true scores of a number of states and epochs."""
    short, unseen = graphs_of(1000, 2, seed), graphs_of(4000, 8, 1000 + seed)
    pieces = time_pieces(short, N_SPLITS, LAG, 2 * LAG)
    scorer = KoopmanScorer(SCORES)
    estimator = GDyNetEstimator(
        n_states,
        LAG,
        encoder=GatedEncoder(n_conv=1),
        max_epochs=n_epochs,
        patience=n_epochs + 1,
        random_state=seed,
    )
    begin = time.process_time()
    with warnings.catch_warnings(), trained_with(validation_fraction=0.06):
        for category in NOTHING_TO_TELL:
            warnings.simplefilter("ignore", category)
        result = cross_validate(
            estimator,
            pieces,
            cv=SegmentKFold(N_SPLITS, gap=1),
            scoring=scorer,
            return_train_score=True,
            return_estimator=True,
            error_score="raise",
        )
        truth = [KoopmanScorer(SCORES)(fitted, unseen) for fitted in result["estimator"]]
    return {
        "train": float(result["train_vamp2"].mean()),
        **{f"test_{name}": float(result[f"test_{name}"].mean()) for name in SCORES},
        **{f"unseen_{name}": float(np.mean([row[name] for row in truth])) for name in SCORES},
        "cpu_seconds": time.process_time() - begin,
    }


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="data sets (5)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/overfitting.jsonl"))
    options = parser.parse_args()
    keys = [(*network, seed) for network in NETWORKS for seed in range(options.seeds)]
    rows = resumable(options.out, keys, one_network)
    names = ("train", "test_vamp2", "test_vampe_cv", "unseen_vamp2", "unseen_vampe_cv")
    # (n_networks, n_seeds, n_scores), in the order of the keys
    values = np.array([[row[name] for name in names] for row in rows])
    values = values.reshape(len(NETWORKS), options.seeds, len(names))
    tested = values[..., names.index("test_vampe_cv")]
    behind = np.median(tested.max(axis=0) - tested, axis=1)
    table = [
        [*network, *(f"{value:.3f}" for value in np.median(scores, axis=0)), f"{difference:.3f}"]
        for network, scores, difference in zip(NETWORKS, values, behind, strict=True)
    ]
    header = ["states", "epochs", "training VAMP-2", "test VAMP-2", "test cross-validated"]
    header += ["unseen VAMP-2", "unseen cross-validated", "test: behind the best, paired"]
    print(markdown(header, table))


if __name__ == "__main__":
    main()
