"""Global dynamics from a local model on the toy system.

Run as ``python -m benchmarks.local_global``.

Two states are learned from 20 ns; on an independent long trajectory (200 ns by default) the local
two-state model and the FCC site graph give the global transition matrix over 12 sites. Its slowest,
threefold multiplet is compared with the mean of the three slowest modes of a Markov model of the
sites that the ion really visited in the same frames.
"""

import argparse
import time

from benchmarks._tables import markdown
from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import simulate_li_fcc
from graphkoopman.koopman import fcc_site_graph, global_koopman

LAG = 100  # frames of 0.1 ps


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--duration", type=float, default=200.0, help="ns of the long trajectory")
    parser.add_argument("--seed", type=int, default=7, help="of the long trajectory")
    options = parser.parse_args()
    begin = time.perf_counter()
    featurizer = GraphFeaturizer(n_neighbors=12)
    seen = simulate_li_fcc(20_000.0, random_state=0).trajectory
    estimator = GDyNetEstimator(2, LAG, random_state=0).fit(featurizer.transform(seen))
    run = simulate_li_fcc(1000.0 * options.duration, random_state=options.seed)
    local = estimator.koopman_model(featurizer.transform(run.trajectory), n_bootstrap=200)
    rebuilt = global_koopman(local, fcc_site_graph())
    low, high = rebuilt.timescales_ps_interval[0]
    observed = run.reference.global_reference
    lagged = run.reference.at_lag(LAG)
    rows = [
        [
            "local relaxation / ps",
            f"{local.prior.timescales_ps()[0]:.1f}",
            "{:.1f} to {:.1f}".format(*local.timescales_ps_interval()[0]),
            f"{lagged.timescales[0]:.1f} ± {lagged.timescales_error[0]:.1f}",
        ],
        [
            f"slowest global multiplet / ps ({rebuilt.degeneracies[0]} modes)",
            f"{rebuilt.timescales_ps[0]:.0f}",
            f"{low:.0f} to {high:.0f}",
            f"{observed.multiplet:.0f} ± {observed.multiplet_error:.0f}",
        ],
    ]
    print(markdown(["", "from learned states", "95 % interval", "from sites visited"], rows))
    deviation = rebuilt.timescales_ps[0] / observed.multiplet - 1.0
    print(f"\ndeviation {deviation:+.1%}; {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
