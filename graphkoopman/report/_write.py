"""`write_report`: one HTML page about a fitted model and its data."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from graphkoopman.estimator import EstimatorLike
from graphkoopman.graphs import GraphFeaturizer
from graphkoopman.report._page import page
from graphkoopman.report._scene import scene
from graphkoopman.report._study import Study, study
from graphkoopman.storage import replacing
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike, as_trajectories

__all__ = ["write_report"]

FOR_POSITIONS = 0.25  # of the bytes of a page, before base64


def write_report(
    path: str | os.PathLike[str],
    model: EstimatorLike | Study,
    trajs: TrajectoriesLike | None = None,
    *,
    targets: TargetsLike = None,
    featurizer: Any = None,
    charges: ArrayLike | Sequence[ArrayLike] | None = None,
    state_charges: ArrayLike | None = None,
    temperature: float | None = None,
    title: str | None = None,
    record: Mapping[str, Any] | None = None,
    max_bytes: int = 5_000_000,
) -> None:
    """Write one self-contained HTML page: verdict, states in words and in 3-D, exchange, methods.

    The page needs no network and opens from disk. Frames of the viewer become fewer until it fits.

    Parameters
    ----------
    path : path
    model : Pipeline, GDyNetEstimator or Study
        Fitted; a pipeline of a featurizer and an estimator knows how it is fed.
    trajs : Trajectory, mdtraj.Trajectory, or list of these
        Seen in training or not; None for a `Study`, which has its own.
    targets : str, array-like, list of array-like, callable or None
        None takes those of the featurizer.
    featurizer : transformer or None
        For an estimator alone; by default a `GraphFeaturizer` with the neighbours that it learned
        from.
    charges : array-like of shape (n_atoms,), list of these, or None
        Charge of every atom in e: adds the charge around targets.
    state_charges : float or sequence of n_states floats, or None
        e; with ``temperature`` (K), adds the conduction of the transitions.
    temperature : float or None
    title : str or None
    record : mapping or None
        Content of a ``run.json``: command line, versions, input files.
    max_bytes : int
        Largest size of the page.

    Raises
    ------
    ValueError
        For inputs that do not match, or a page that does not fit even with one frame.
    OSError
        If the file could not be written; an earlier one of its name is untouched.

    See Also
    --------
    study : The numbers behind the page.
    """
    result = (
        model if isinstance(model, Study) else _study(model, trajs, targets, featurizer, charges)
    )
    name = title or f"{result.n_states} states of {result.name}"
    draw = page(
        result,
        title=name,
        charges=charges,
        state_charges=state_charges,
        temperature=temperature,
        record=record,
    )
    budget = FOR_POSITIONS * max_bytes
    while True:
        shown = scene(result, int(budget))
        text = draw(shown).encode()
        if len(text) <= max_bytes:
            break
        if len(shown["times"]) == 1:
            raise ValueError(
                f"max_bytes must hold the page, which takes {len(text)} bytes with one frame, got "
                f"{max_bytes}; raise it"
            )
        budget = 0.5 * min(budget, 6.0 * len(shown["times"]) * len(shown["elements"]))
    with replacing(path) as file:
        file.write(text)


def _study(
    model: EstimatorLike,
    trajs: TrajectoriesLike | None,
    targets: TargetsLike,
    featurizer: Any,
    charges: ArrayLike | Sequence[ArrayLike] | None,
) -> Study:
    if trajs is None:
        raise ValueError("trajs must be given, got None; pass the trajectories to report on")
    trajectories = as_trajectories(trajs)
    estimator = model
    if isinstance(model, Pipeline):
        *steps, (_, estimator) = model.steps
        if len(steps) != 1:
            raise ValueError(
                "model must be a pipeline of one featurizer and one estimator, got "
                f"{len(model.steps)} steps"
            )
        featurizer = steps[0][1]
    if featurizer is None:
        featurizer = GraphFeaturizer(
            targets,
            n_neighbors=estimator.n_neighbors_,
            cutoff=estimator.cutoff_,
            n_per_species=estimator.n_per_species_,
            n_hops=estimator.n_hops_,
        )
    targets = getattr(featurizer, "targets", None) if targets is None else targets
    graphs = featurizer.transform(trajectories)
    return study(estimator, trajectories, graphs, targets, charges=charges)
