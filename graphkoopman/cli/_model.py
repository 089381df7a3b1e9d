"""A saved model and the trajectories that a command gives it: `Fed`, `feed`."""

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphkoopman.cli._console import Console
from graphkoopman.cli._feed import apply_feed, check_targets, feed_of, input_defaults
from graphkoopman.cli._input import featurizer_of, read_inputs
from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.progress import Progress
from graphkoopman.trajectories import Trajectory

__all__ = ["Fed", "check_timesteps", "feed", "follow_up", "graphs_of", "hops_of", "say_inputs"]


@dataclass(frozen=True, eq=False)
class Fed:
    """A model with samples to apply it to.

    Attributes
    ----------
    options : Namespace
        Of the command line, with those of the model where it is silent.
    estimator : GDyNetEstimator
    featurizer : GraphFeaturizer
    trajectories : list of Trajectory
    """

    options: argparse.Namespace
    estimator: GDyNetEstimator
    featurizer: Any
    trajectories: list[Trajectory]

    def graphs(self, console: Console) -> list[Any]:
        """Graphs of the trajectories, after a line about each."""
        graphs = graphs_of(console, self.featurizer, self.trajectories)
        say_inputs(console, self.options, self.trajectories, graphs)
        return graphs


def feed(options: argparse.Namespace) -> Fed:
    """Load a model and read trajectories as it needs them."""
    fed = feed_of(options.model)
    estimator = GDyNetEstimator.load(options.model)
    asked = options.targets
    options = apply_feed(options, input_defaults(), fed)
    featurizer = featurizer_of(options, n_hops=hops_of(estimator))
    trajectories = read_inputs(options)
    check_targets(asked, fed, trajectories)
    check_timesteps(trajectories, estimator.timestep_)
    return Fed(options, estimator, featurizer, trajectories)


def graphs_of(console: Console, featurizer: Any, trajectories: list[Trajectory]) -> list[Any]:
    """Graphs of trajectories, as one stage."""
    with Progress("graphs", active=console.shows_progress):
        graphs: list[Any] = featurizer.fit_transform(trajectories)
    return graphs


def hops_of(estimator: GDyNetEstimator) -> int:
    """Hops that the graphs of an estimator need."""
    return estimator.n_hops_


def follow_up(command: str, options: argparse.Namespace, model: Path) -> str:
    """The command that a user is likely to want next."""
    words = [model, *options.trajectories]
    words += ["--top", options.top] if options.top else []
    return f"next: graphkoopman {command} {shlex.join(map(str, words))}"


def say_inputs(
    console: Console, options: argparse.Namespace, trajectories: list[Trajectory], graphs: list[Any]
) -> None:
    """What was read, a line per file."""
    for path, trajectory, item in zip(options.runs, trajectories, graphs, strict=True):
        length = (len(trajectory) - 1) * trajectory.timestep
        console.say(f"{path}: {length:g} ps, {item}")


def check_timesteps(trajectories: list[Trajectory], timestep: float) -> None:
    """Raise unless the frames are as far apart as those the model learned from."""
    for trajectory in trajectories:
        if abs(trajectory.timestep - timestep) > 1e-3 * timestep:
            raise ValueError(
                f"the model was learned from frames {timestep:g} ps apart, got "
                f"{trajectory.timestep:g} ps; set --stride or --timestep to match"
            )
