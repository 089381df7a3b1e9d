"""What every process of a group computes in the tests of ranks; a program, and its cases.

``python tests/rank_cases.py FOLDER RANK SIZE CASE…`` runs cases by name in a gloo group of its own
and leaves their results in FOLDER.
"""

import itertools
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

from graphkoopman import GDyNetEstimator, GraphFeaturizer
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.descriptors import FeatureTrajectory
from graphkoopman.estimator._checks import species_rows
from graphkoopman.lobes import (
    AttentionPooling,
    FeatureEncoder,
    GatedEncoder,
    PaiNNEncoder,
    SchNetEncoder,
    build_lobe,
)
from graphkoopman.objectives import register_objective, score_of_moments
from graphkoopman.ranks import ALONE, RankError, agree, joined
from graphkoopman.training import SampleData, Trainer, share_runs
from graphkoopman.training._stages import stages_of
from graphkoopman.training._state import TrainingSettings
from graphkoopman.trajectories import block_split

LAG, N_STATES, N_STEPS = 5, 3, 20
# of short steps, where the head divides by an embedding that hardly varies
RATES = {"float64": 1e-6, "float32": 1e-5}
DTYPES = {"float32": torch.float32, "float64": torch.float64}
ENCODERS = {
    "gated": (GatedEncoder(n_conv=2, n_features=8), None),
    "attention": (GatedEncoder(n_conv=1, n_features=8), AttentionPooling()),
    "SchNet": (SchNetEncoder(n_conv=1, n_features=8), None),
    "PaiNN": (PaiNNEncoder(n_conv=1, n_features=8), None),
    "features": (FeatureEncoder(n_layers=1, n_features=8), None),
}


@register_objective("half VAMP-1, half VAMP-2")
def mean_objective(moments, epsilon):
    scores = [score_of_moments(moments, method=m, epsilon=epsilon) for m in ("VAMP1", "VAMP2")]
    return sum(scores) / 2


OBJECTIVES = ("VAMP1", "VAMP2", "VAMPE", "half VAMP-1, half VAMP-2")


def runs_of(encoder):
    """Two runs of unequal length, as samples that the encoder reads."""
    chain = chain_rates(N_STATES, slowest=20.0)
    data = [make_hopping(chain, n, random_state=i) for i, n in enumerate((240, 100))]
    if encoder == "features":
        rng = np.random.default_rng(0)
        runs = []
        for one in data:
            seen = np.eye(N_STATES)[one.labels] @ rng.normal(size=(N_STATES, 4))
            noise = 0.3 * rng.standard_normal(seen.shape)
            runs.append(FeatureTrajectory((seen + noise).astype(np.float32), timestep=1.0))
    else:
        featurizer = GraphFeaturizer(n_neighbors=6, n_hops=2, directions=True)
        runs = featurizer.fit_transform([one.trajectory for one in data])
    return [run.of_run(f"run {i}") for i, run in enumerate(runs)]


def shards(runs, size, how="cut"):
    """Unequal shares of every rank: a run is cut, or a rank has nothing; both with four ranks.

    Of whole runs none is cut, and two of four ranks have nothing.
    """
    long, short = runs
    if (size, how) == (2, "empty"):
        return [[], [long, short]]
    if how == "whole" and size > 1:
        return {2: [[long], [short]], 4: [[], [long], [], [short]]}[size]
    return {
        1: [[long, short]],
        2: [[long[:90]], [long[90:], short]],
        4: [[long[:90]], [], [long[90:110]], [long[110:], short]],
    }[size]


def new_training(reducer, encoder, objective, dtype, how, batch_size=100):
    """A training whose every stage has twenty steps, short ones of graph networks.

    Longer steps are chaotic, on one process with other chunks, too: the embedding of an untrained
    network varies by some 1e-4 of its size, and the head divides by that. In single precision Adam
    divides what is rounding alone by its own size; there, graph networks step along the gradient.
    What training makes of rounding is no matter of ranks.
    """
    own = shards(runs_of(encoder), reducer.size, how)[reducer.rank]
    runs = share_runs(own, reducer)
    species = np.unique(np.concatenate([run.species for run in runs]))
    rows = species_rows(runs, species)
    parts, pooling = ENCODERS[encoder]
    data = SampleData(runs, rows, parts.n_hops, None, torch.device("cpu"), reducer)
    rng = np.random.RandomState(0)
    blocks = block_split([len(run) for run in runs], 0.2, lagtime=LAG, random_state=rng)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        lobe = build_lobe(species, N_STATES, encoder=parts, pooling=pooling, n_hidden=16)
    settings = TrainingSettings(
        LAG,
        (objective,),
        learning_rate=1e-3 if encoder == "features" else RATES[dtype],
        max_epochs=1,
        steps_per_epoch=N_STEPS,
        patience=1,
        batch_size=batch_size,
    )
    plain = dtype == "float32" and encoder != "features"
    training = (GradientDescent if plain else Trainer)(
        lobe.to(DTYPES[dtype]), data, blocks, stages_of((objective,)), settings, rng
    )
    return training


class GradientDescent(Trainer):
    """The training with steps along the gradient."""

    def _new_optimizer(self):
        return torch.optim.SGD([p for p in self.lobe.parameters() if p.requires_grad], lr=1e-2)


def parameters_of(lobe):
    return torch.nn.utils.parameters_to_vector(lobe.parameters()).detach().double().numpy()


def steps_case(reducer, encoder, objective, dtype, how="cut"):
    """Parameters at the start and after twenty steps of every stage, and what was sent in them."""
    training = new_training(reducer, encoder, objective, dtype, how)
    found, sent = [parameters_of(training.lobe)], []
    while not training.finished:
        before = reducer.bytes_added
        for _ in range(N_STEPS - 1):
            training.advance()
        sent.append((reducer.bytes_added - before) / (N_STEPS - 1))
        training._step()
        found.append(parameters_of(training.lobe))
        training.position.step = N_STEPS - 1
        training._end_epoch(0.0)
    scores = [(row["train_score"], row["validation_score"]) for row in training.result.history]
    return {"parameters": found, "scores": scores, "sent": sent}


def small_estimator(**changes):
    settings = {
        "n_states": N_STATES,
        "lagtime": LAG,
        "encoder": GatedEncoder(n_conv=1, n_features=8),
        "max_epochs": 3,
        "patience": 3,
        "n_init": 2,
        "random_state": 0,
    }
    return GDyNetEstimator(**settings | changes)


def fit_case(size, rank, how="cut", **changes):
    """A whole fit on the shares of the ranks."""
    estimator = small_estimator(**changes)
    encoder = "features" if isinstance(estimator.encoder, FeatureEncoder) else "gated"
    own = shards(runs_of(encoder), size, how)[rank]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(own)
    estimator.set_params(checkpoint_dir=None)
    return {
        "timescales": estimator.model_.timescales(),
        "matrix": estimator.model_.koopman_matrix,
        "n_pairs": estimator.model_._moments.n_pairs,
        "double": estimator.model_._moments.double.c00,
        "parameters": parameters_of(estimator.lobe_),
        "score": estimator.validation_score_,
        "agreement": estimator.agreement_,
        "starts": estimator.start_scores_,
        "frames": estimator.training_frames_,
        "populations": estimator.state_map_.populations,
    }


def interrupted_case(size, rank, folder):
    """A fit that stops because a signal comes to its last rank in the seventh step."""
    # shells let what runs in their background ignore the signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    advance, steps = Trainer.advance, itertools.count(1)

    def interrupted(training):
        if next(steps) == 7 and rank == size - 1:
            signal.raise_signal(signal.SIGINT)
        advance(training)

    Trainer.advance = interrupted
    try:
        fit_case(size, rank, encoder=FeatureEncoder(), checkpoint_dir=folder)
    finally:
        Trainer.advance = advance
    return next(steps) - 1


def errors_case(size, rank):
    """What goes wrong on one rank, as all of them say it."""
    own = shards(runs_of("gated"), size)[rank]
    wrong = {
        "lagtime": lambda: small_estimator(lagtime=10_000).fit(own),
        "kind": lambda: small_estimator().fit(["nothing"] if rank == size - 1 else own),
        "empty": lambda: small_estimator().fit([]),
        "settings": lambda: small_estimator(n_states=2 + rank).fit(own),
        "normalization": lambda: small_estimator(
            encoder=GatedEncoder(n_conv=1, normalization="batch")
        ).fit(own),
    }
    said = {}
    for name, call in wrong.items():
        try:
            call()
        except (TypeError, ValueError) as error:
            said[name] = f"{type(error).__name__}: {error}"
    with joined() as reducer:
        said["together"] = [agree(reducer, lambda: rank), reducer.gather(rank), reducer.same(rank)]
    return said


def leaving_case(size, rank):
    """The last rank leaves with an error in the middle of a step; the others are told."""
    own = shards(runs_of("gated"), size)[rank]
    FailingEncoder.fails = rank == size - 1
    begin = time.monotonic()
    try:
        small_estimator(encoder=FailingEncoder(n_conv=1)).fit(own)
    except (MemoryError, RankError) as error:
        return f"{type(error).__name__}: {error}", time.monotonic() - begin
    return "no error"


class FailingEncoder(GatedEncoder):
    """Its network runs out of memory, on one rank, at the first gradient."""

    fails = False

    def build(self, species):
        network = super().build(species)

        def fail(*_):
            if self.fails and torch.is_grad_enabled():
                raise MemoryError("no room")

        network.register_forward_hook(fail)
        return network


def run_case(name, rank, size):
    kind, *words = name.split("|")
    if kind == "steps":
        with joined() as reducer:
            return steps_case(reducer, *words)
    if kind == "fit":
        changes = {"encoder": FeatureEncoder()} if words[0] == "features" else {}
        return fit_case(size, rank, *words[1:], **changes)
    if kind == "checkpoint":
        return fit_case(size, rank, encoder=FeatureEncoder(), checkpoint_dir=words[0])
    if kind == "interrupted":
        return interrupted_case(size, rank, words[0])
    return {"errors": errors_case, "leaving": leaving_case}[kind](size, rank)


def results_of_group(size, names):
    """Results of cases by name, of every rank of a group of processes; one process is this one."""
    if size == 1:
        with joined() as reducer:
            assert reducer is ALONE
        return [{name: run_case(name, 0, 1) for name in names}]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, folder, str(rank), str(size), *names], env=environment
            )
            for rank in range(size)
        ]
        codes = [process.wait(300) for process in processes]
        assert codes == [0] * size
        return [
            pickle.loads((Path(folder) / f"{rank}.pickle").read_bytes()) for rank in range(size)
        ]


def main(folder, rank, size, *names):
    torch.set_num_threads(1)
    rank, size = int(rank), int(size)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=60),
    )
    results = {name: run_case(name, rank, size) for name in names}
    (Path(folder) / f"{rank}.pickle").write_bytes(pickle.dumps(results))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
