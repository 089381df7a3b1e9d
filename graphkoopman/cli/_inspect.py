"""``graphkoopman inspect``: what is in trajectory files, before any work is done with them."""

import argparse
from typing import Any

from graphkoopman.cli._input import read_inputs, say
from graphkoopman.trajectories import TrajectoryReport, inspect


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    options.cache = None
    trajectories = read_inputs(options, inspected=False)
    found = []
    for name, trajectory in zip(options.runs, trajectories, strict=True):
        report = inspect(trajectory)
        say(options, "\n".join([name, *str(report).splitlines()[1:]]))
        found.append({"run": name, **summary_of(report)})
    options.console.summary = {"runs": found}
    return 0


def summary_of(report: TrajectoryReport) -> dict[str, Any]:
    """The key numbers, for programs."""
    return {
        "reader": report.reader,
        "frames": report.n_frames,
        "atoms": report.n_atoms,
        "elements": report.elements,
        "timestep_ps": report.timestep,
        "cell_angstrom": report.cell,
        "density_g_per_cm3": report.density,
        "plausible": report.plausible,
        "findings": [str(finding) for finding in report.findings],
    }
