"""A search and graphs, serially and on a dask cluster of two workers, one of which is killed.

``python tests/dask_cases.py FOLDER`` leaves its results there; a program of its own, so that a
cluster does not share a process with other tests.
"""

import os
import pickle
import signal
import sys
import threading
import warnings
from pathlib import Path

import joblib
import numpy as np
import torch
from small_fits import make_estimator

from graphkoopman import GraphFeaturizer, storage
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.graphs import GraphTrajectory
from graphkoopman.model_selection import select_model


def featurizer(folder):
    return GraphFeaturizer(n_neighbors=4, n_hops=1, cache_dir=folder)


def searched(graphs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = select_model(
            graphs, [2, 4], [2, 3], estimator=make_estimator(max_epochs=2), n_splits=2
        )
    names = [name for name in result.cv_results if name.startswith("split")]
    return {name: np.asarray(result.cv_results[name]) for name in sorted(names)}


def refitted(graphs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_estimator(max_epochs=2).fit(graphs).transform_refits(graphs, 2)


def contents_of(graphs):
    return [(type(g).__name__, g.digest(), len(pickle.dumps(g)), g.nbytes) for g in graphs]


def send_as_large():
    storage.LEAST_MAPPED = 1024  # bytes; these graphs are small


def kill_one_of(client, seconds):
    """Kill a worker while others work; its nanny starts another one."""
    number = next(iter(client.run(os.getpid).values()))
    timer = threading.Timer(seconds, os.kill, (number, signal.SIGKILL))
    timer.start()
    return timer


def main(folder):
    from dask.distributed import Client, LocalCluster

    torch.set_num_threads(1)
    send_as_large()
    folder = Path(folder)
    trajectories = [
        make_hopping(chain_rates(3, slowest=20.0), n, random_state=i).trajectory
        for i, n in enumerate((260, 150))
    ]
    found = {}
    serial = featurizer(folder / "serial").fit_transform(trajectories)
    found["serial graphs"], found["serial"] = contents_of(serial), searched(serial)
    found["serial refits"] = refitted(serial)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder
        ) as cluster,
        Client(cluster) as client,
        joblib.parallel_config("dask", client=client),
    ):
        client.run(send_as_large)
        graphs = featurizer(folder / "cluster").fit_transform(trajectories)
        found["dask graphs"] = contents_of(graphs)
        found["writers"] = sorted({path.suffix for path in (folder / "cluster").iterdir()})
        found["dask"] = searched(graphs)
        found["dask refits"] = refitted(graphs)
        timer = kill_one_of(client, 0.3)
        found["killed"] = searched(graphs)
        timer.join()
        found["class"] = all(isinstance(g, GraphTrajectory) for g in graphs)
    (folder / "found.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
