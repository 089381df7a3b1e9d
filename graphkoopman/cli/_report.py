"""``graphkoopman report``: one HTML page about a saved model's states."""

import argparse
import os

from graphkoopman.cli._analysis import say_closing, say_study
from graphkoopman.cli._analyze import check_conduction, read_charges
from graphkoopman.cli._folder import check_file
from graphkoopman.cli._model import feed
from graphkoopman.cli._record import Recorder, input_paths
from graphkoopman.report import study, write_report


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    console = options.console
    check_file(options.out, options.overwrite)
    recorder = Recorder(options, options.arguments)
    fed = feed(options)
    check_conduction(options.state_charges, options.temperature, fed.estimator.n_states)
    charges = None if options.charges is None else read_charges(options.charges, fed.trajectories)
    recorder.inputs(input_paths(options))
    result = study(
        fed.estimator, fed.trajectories, fed.graphs(console), fed.options.targets, charges=charges,
        verbose=console.shows_progress,
    )  # fmt: skip
    say_study(console, result)
    recorder.note(settings=fed.estimator.get_params(), featurizer=fed.featurizer.get_params())
    recorder.note(warnings=console.warnings)
    write_report(
        options.out,
        result,
        charges=charges,
        state_charges=options.state_charges,
        temperature=options.temperature,
        title=options.title,
        record=recorder.content,
    )
    recorder.note(results=result.summary())
    recorder.write_beside(options.out, console)
    size = os.path.getsize(options.out)
    following = f"open {options.out} in a browser"
    say_closing(console, result, f"{options.out} ({size / 1e6:.1f} MB)", following)
    console.summary = {"out": options.out, "bytes": size, **result.summary()}
    return 0
