"""What every command accepts: its description, arguments and their help.

Importing this takes no time, so that ``--help`` does not either; what a command does is in the
module of its name, which is imported when it runs.

Public: :func:`build_parser`.
"""

import argparse
from pathlib import Path
from typing import TypeAlias

from graphkoopman import __version__

# a name for type checkers: the class takes no argument when it runs
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEFAULT_NEIGHBORS = 20
CUT_RADIUS = 5.0  # Å, of neighbourhoods
PAPER_SYSTEMS = ("li-fcc", "si-au", "peo-litfsi")
BENCH_SYSTEMS = ("toy", "gas")
EXPORT_FORMATS = ("extxyz", "lammpstrj", "pdb", "chemiscope")
EPILOG = (
    "exit codes: 0 done; 1 a fault of graphkoopman, please report it; 2 bad input, in one line; "
    "130 interrupted by control-C, with what is kept; 141 output closed by its reader"
)
DRIFT_HELP = (
    "what is held at rest: nothing, the species that no target has, or the whole system (none)"
)
METHOD_HELP = (
    "diffusion of a transition: slope of its squared displacement, eq. (14), or secant, which "
    "adds up to all of the diffusion (slope)"
)

CELL_HELP = (
    "three lengths in Å, with or without three angles in degrees, or none for a system that is not "
    "periodic; give it after the files (the file's cell, else that of --top)"
)
LABELS_HELP = (
    'node types in place of elements, as "Oe=resname PEO and element O"; or a file with a label '
    "per atom"
)
JOIN_HELP = (
    "take the files for consecutive pieces of one run, or none of them (joined where atoms move "
    "on from one file to the next)"
)
SCHEDULER_HELP = (
    "address of a dask scheduler, on whose workers graphs, folds, candidates and refits run; with "
    "--cache, a folder that all of them see"
)
INSPECT = """\
Say what was understood of trajectory files before any work is done with them: reader, frames, time
step and where it comes from, cell, atoms by element and which are guesses, density, shortest
distances, largest step, drift, identical frames; and what of it is implausible, with a remedy.

examples:
  graphkoopman inspect run1.xtc --top box.pdb
  graphkoopman inspect *.XDATCAR.gz --timestep 0.1
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="graphkoopman",
        description="States, exchange times and Koopman models of atoms and molecules in "
        "molecular dynamics trajectories, by graph dynamical networks.",
    )
    parser.add_argument("--version", action="version", version=f"graphkoopman {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_command in (
        add_demo,
        add_inspect,
        add_fit,
        add_select,
        add_analyze,
        add_report,
        add_export,
        add_generate,
        add_reproduce,
        add_bench,
        add_completion,
    ):
        add_command(commands)
    return parser


DEMO = """\
Lithium in an FCC lattice of sulphur (Fig. 2 of the paper): simulate two trajectories, learn two
states from one, validate on the other, and compare with the sites that the ion really visited.

example:
  graphkoopman demo --out graphkoopman-demo
"""


def add_demo(commands: Commands) -> None:
    """Arguments of ``graphkoopman demo``."""
    parser = _command(
        commands,
        "demo",
        "simulate the paper's toy system, learn it, and compare with the truth",
        DEMO,
    )
    parser.add_argument("--duration", type=float, default=20.0, help="ns per trajectory (20)")
    parser.add_argument("--lag", type=float, default=10.0, help="lag time in ps (10)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    parser.add_argument("--out", type=Path, default=Path("graphkoopman-demo"), help="output folder")
    add_output_arguments(parser)


def add_inspect(commands: Commands) -> None:
    """Arguments of ``graphkoopman inspect``."""
    parser = _command(
        commands, "inspect", "what is in trajectory files, and whether it is plausible", INSPECT
    )
    add = parser.add_argument
    add("trajectories", nargs="+", metavar="FILE", help="trajectory files")
    add("--top", help="topology file, for formats that carry none")
    add("--timestep", type=float, help="ps per frame, for files that carry no time")
    add("--stride", type=int, default=1, help="read every n-th frame (1)")
    add("--json", action="store_true", help="print one JSON object, no text")
    add_reading_arguments(parser)


FIT = """\
Learn states of the target atoms from trajectories and print populations and relaxation times.

examples:
  graphkoopman fit run1.xtc run2.xtc --top box.pdb --targets "element Li" --states 3 --lag 50ps
  graphkoopman fit *.XDATCAR.gz --timestep 0.1 --targets "element Li" --states 2 --lag 10
  graphkoopman fit run1.xtc --top box.pdb --targets "element Li" --lag 50ps --report
  graphkoopman fit --config graphkoopman-fit/run.json --out again

control-C ends training, keeps the best network so far, and writes its results.
"""


def add_fit(commands: Commands) -> None:
    """Arguments of ``graphkoopman fit``."""
    parser = _command(commands, "fit", "learn states and exchange times from trajectory files", FIT)
    add_input_arguments(parser, nargs="*")
    add_training_arguments(parser)
    add = parser.add_argument
    add("--states", type=int, default=2, help="number of states (2)")
    add("--lag", default="1", help='lag time in frames, or with a unit: "10ps", "0.5ns" (1)')
    add("--restarts", type=int, default=3, help="starts, of which the best goes on (3)")
    add("--refits", type=int, default=4, help="trainings on half the data, for intervals (4)")
    add("--device", default="auto", help='"cpu", "cuda" or the like (auto)')
    add("--checkpoint", type=Path, metavar="DIR", help="folder from which a fit goes on by itself")
    add("--scheduler", metavar="TCP://…", help=SCHEDULER_HELP)
    add("--config", type=Path, metavar="RUN.JSON", help="repeat the fit of this record")
    add("--report", action="store_true", help="write report.html, too")
    add("--out", type=Path, default=Path("graphkoopman-fit"), help="output folder")
    add_output_arguments(parser)


SELECT = """\
Choose the number of states and the lag time by cross-validation on parts of the trajectories that
the network has not seen, explain the choice, and fit the model chosen to all of them.

examples:
  graphkoopman select run.xtc --top box.pdb --targets "element Li" --states 2 3 4 \\
      --lags 5ps 10ps 20ps 40ps
  graphkoopman select *.XDATCAR.gz --timestep 0.1 --targets "element Li" --lags 10 20 40 --jobs 4

every candidate is written to OUT.unfinished/candidates.csv as it ends; after a kill or control-C
the same command goes on from there.
"""


def add_select(commands: Commands) -> None:
    """Arguments of ``graphkoopman select``."""
    parser = _command(commands, "select", "choose the number of states and the lag time", SELECT)
    add_input_arguments(parser)
    add_training_arguments(parser)
    add = parser.add_argument
    add("--states", type=int, nargs="+", default=[2, 3, 4], help="numbers to try (2 3 4)")
    add("--lags", nargs="+", required=True, help='lag times to try, in frames or as "10ps"')
    add("--max-lag", help="longest lag to choose (the longest of --lags)")
    add("--folds", type=int, default=4, help="parts of the data, each tested once (4)")
    add("--scheduler", metavar="TCP://…", help=SCHEDULER_HELP)
    add("--out", type=Path, default=Path("graphkoopman-select"), help="output folder")
    add_output_arguments(parser)


ANALYZE = """\
Read a saved model, find the states in trajectories that it was or was not trained on, and write
tables (CSV) and figures (PNG) of what surrounds them, where they are and how they move.

examples:
  graphkoopman analyze model.safetensors run3.xtc --top box.pdb
  graphkoopman analyze model.safetensors run*.xtc --top box.pdb \\
      --charges charges.txt --state-charges 0.9 0.1 --temperature 363 --drift system
"""


def _add_charge_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--charges", type=Path, help="text file with the charge of every atom in e")
    add("--state-charges", type=float, nargs="+", help="charge of each state in e, or one for all")
    add("--temperature", type=float, help="temperature in K")


def add_analyze(commands: Commands) -> None:
    """Arguments of ``graphkoopman analyze``."""
    parser = _command(
        commands, "analyze", "structure and transport of a saved model's states", ANALYZE
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="file written by fit or GDyNetEstimator.save")
    add_input_arguments(parser)
    _add_charge_arguments(parser)
    add("--r-max", type=float, help="largest radius in Å (10, or what the cell allows)")
    add("--drift", choices=("none", "framework", "system"), default="none", help=DRIFT_HELP)
    add("--method", choices=("slope", "secant"), default="slope", help=METHOD_HELP)
    add("--voxels", type=int, default=20, help="voxels of the map along each cell vector (20)")
    add("--cut-outs", type=int, default=3, help="neighbourhoods of each state, as PDB files (3)")
    add("--cut-radius", type=float, help=f"their radius in Å ({CUT_RADIUS:g}, or less)")
    add("--out", type=Path, default=Path("graphkoopman-analysis"), help="output folder")
    add_output_arguments(parser)


REPORT = """\
Read a saved model and write one HTML page about its states in trajectories: a verdict, the states
in words and in three dimensions, their exchange, surroundings and transport, and how far to trust
it. The page needs no network. How the model was fed (targets, neighbours, timestep) is in its file.

example:
  graphkoopman report graphkoopman-fit/model.safetensors run*.xtc --top box.pdb --out report.html
"""


def add_report(commands: Commands) -> None:
    """Arguments of ``graphkoopman report``."""
    parser = _command(commands, "report", "one HTML page about a saved model's states", REPORT)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="file written by fit or GDyNetEstimator.save")
    add_input_arguments(parser)
    _add_charge_arguments(parser)
    add("--title", help="of the page")
    add("--out", type=Path, default=Path("graphkoopman-report.html"), help="file to write")
    add_output_arguments(parser)


EXPORT = """\
Write every atom's state and probabilities in every frame, for OVITO, VMD, PyMOL or chemiscope.

extxyz      columns target, state, probability (OVITO, ASE)
lammpstrj   columns i_target, i_state, d_probability_0 ... (OVITO, VMD, ASE)
pdb         B-factor: state; occupancy: its probability (VMD, PyMOL, ChimeraX)
chemiscope  a dataset for chemiscope.org (.json), or a page of its own (.html)

Atoms of no target have state -1.

example:
  graphkoopman export graphkoopman-fit/model.safetensors run1.xtc --top box.pdb --format extxyz
"""


def add_export(commands: Commands) -> None:
    """Arguments of ``graphkoopman export``."""
    parser = _command(commands, "export", "states of every atom for other programs", EXPORT)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="file written by fit or GDyNetEstimator.save")
    add_input_arguments(parser, format_option="--input-format")
    add("--format", choices=EXPORT_FORMATS, help="by default that of the ending of --out")
    add("--out", type=Path, help="file to write (states, with the ending of the format)")
    add_output_arguments(parser)


COMPLETION = """\
Print a script that completes commands and options in a shell.

example:
  graphkoopman completion bash > ~/.local/share/bash-completion/completions/graphkoopman
"""


def add_completion(commands: Commands) -> None:
    """Arguments of ``graphkoopman completion``."""
    parser = _command(commands, "completion", "completion for a shell", COMPLETION)
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="which shell")


GENERATE = """\
Draw a future that was never simulated: a sequence of states of one target, one lag time per frame,
with the kinetics of a saved model, and a local environment for each, as extended XYZ. Environments
are new, by a decoder that is trained on the trajectories, or those of the trajectories (--real).

examples:
  graphkoopman generate model.safetensors run*.xtc --top box.pdb --targets "element Li"
  graphkoopman generate model.safetensors run*.xtc --top box.pdb --targets "element Li" \\
      --real --frames 500 --start 1 --out escape.xyz
"""


def add_generate(commands: Commands) -> None:
    """Arguments of ``graphkoopman generate``."""
    parser = _command(commands, "generate", "futures of a saved model, as extended XYZ", GENERATE)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="file written by fit or GDyNetEstimator.save")
    add_input_arguments(parser)
    add("--frames", type=int, default=100, help="frames to draw, one lag time apart (100)")
    add("--start", type=int, help="state of the first frame (any, as often as it occurs)")
    add("--around", type=int, default=12, help="neighbours around the target (12)")
    add("--real", action="store_true", help="environments of the trajectories, not new ones")
    add("--steps", type=int, default=4000, help="training steps of the decoder (4000)")
    add("--seed", type=int, default=0, help="random seed (0)")
    add("--out", type=Path, default=Path("graphkoopman-future.xyz"), help="output file")
    add_output_arguments(parser)


REPRODUCE = """\
Learn one of the paper's systems with its settings and print its numbers beside ours.

The settings are the paper's: M neighbours, number of states, lag, and which part is learned from
and which is tested on: the first half and the second of one run, the first of several runs and the
others. Without --data or --download, li-fcc is simulated; the other two need files.

examples:
  graphkoopman reproduce li-fcc
  graphkoopman reproduce si-au --download
  graphkoopman reproduce si-au --data interface.npz --lag 60ps
  graphkoopman reproduce peo-litfsi --data a.npz b.npz c.npz d.npz e.npz --timestep 2
"""


def add_reproduce(commands: Commands) -> None:
    """Arguments of ``graphkoopman reproduce``."""
    parser = _command(
        commands, "reproduce", "the paper's three systems with the paper's settings", REPRODUCE
    )
    add = parser.add_argument
    add("system", choices=PAPER_SYSTEMS, help="which of the paper's systems")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", nargs="+", metavar="FILE", help="trajectories of such a system")
    source.add_argument("--download", action="store_true", help="the paper's own trajectories")
    add("--top", help="topology file, for formats that carry none")
    add("--targets", help="mdtraj selection; default: the file's own")
    add("--timestep", type=float, help="ps per frame, for files that carry no time")
    add("--lag", help="lag time, for runs too short for the paper's")
    add("--duration", type=float, default=200.0, help="ns of simulated lithium (200, the paper's)")
    add("--epochs", type=int, default=50, help="most training epochs (50)")
    add("--seed", type=int, default=0, help="random seed (0)")
    add("--out", type=Path, help="output folder (graphkoopman-SYSTEM)")
    add_output_arguments(parser)


BENCH = """\
Time graph building and training steps on trajectories of yours, or on two systems that come with
the package: the toy system of the paper and a gas of 1000 atoms with 50 targets. A step (forward,
score, backward) of the compiled convolutions is compared with the plain PyTorch ones, on the same
receptive field, and both must give the same probabilities. Figures are per CPU-second: minimum,
median and maximum over repeats.

examples:
  graphkoopman bench
  graphkoopman bench run1.xtc --top box.pdb --targets "element Li" --frames 50
"""


def add_bench(commands: Commands) -> None:
    """Arguments of ``graphkoopman bench``."""
    parser = _command(commands, "bench", "time graph building and training on this machine", BENCH)
    add_input_arguments(parser, nargs="*")
    add = parser.add_argument
    add(
        "--system",
        choices=BENCH_SYSTEMS,
        nargs="+",
        default=BENCH_SYSTEMS,
        help="without trajectories",
    )
    add("--frames", type=int, default=200, help="most frames (200)")
    add("--convolutions", type=int, default=3, help="convolution layers (3)")
    add("--repeats", type=int, default=5, help="repeats (5)")
    add("--threads", type=int, default=1, help="threads of a step (1)")
    add("--out", type=Path, help="write the figures to this JSON file, too")
    add_output_arguments(parser)


def add_input_arguments(
    parser: argparse.ArgumentParser, nargs: str = "+", format_option: str = "--format"
) -> None:
    """Arguments that say what to read and which graphs to build; how many files is up to nargs."""
    add = parser.add_argument
    add("trajectories", nargs=nargs, metavar="TRAJ", help="trajectory files")
    add("--top", help="topology file, for formats that carry none")
    add("--timestep", type=float, help="ps per frame, for files that carry no time")
    add("--stride", type=int, default=1, help="read every n-th frame (1)")
    add("--targets", help='mdtraj selection such as "element Li"; default: the file\'s own')
    add("--molecules", metavar="SELECTION", help='one target per molecule, as "resname HOH"')
    add_reading_arguments(parser, format_option)
    add("--neighbors", type=int, help=f"M nearest neighbours per atom ({DEFAULT_NEIGHBORS})")
    add("--cutoff", type=float, help="neighbours within this many Å, in place of --neighbors")
    add(
        "--per-species", type=int, metavar="N",
        help="neighbours of every species that a target has at least, however far (0)",
    )  # fmt: skip
    add("--species-labels", nargs="+", metavar="LABEL=SELECTION", help=LABELS_HELP)
    add("--jobs", type=int, help="threads for building graphs")
    add("--cache", type=Path, help="folder that holds positions and graphs in place of memory")
    add("--memory", type=float, help="GiB of graphs in memory, with --cache (1)")


def add_reading_arguments(parser: argparse.ArgumentParser, format_option: str = "--format") -> None:
    """Arguments that say how files are to be understood."""
    add = parser.add_argument
    add("--cell", nargs="+", metavar="Å", help=CELL_HELP)
    add("--exclude", metavar="SELECTION", help='atoms to leave out, as "name MW"')
    add("--elements", nargs="+", metavar="NAME=ELEMENT", help='elements of names, as "OW=O"')
    add(format_option, dest="input_format", help="file format, where its name does not tell")
    add("--skip", type=int, default=0, help="frames left out at the beginning of a run (0)")
    add("--ignore-times", action="store_true", help="--timestep replaces wrong times of the files")
    add("--unwrapped", action="store_true", help="positions do not jump at the boundaries")
    add("--join", action=argparse.BooleanOptionalAction, help=JOIN_HELP)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of what is written and said."""
    add = parser.add_argument
    add("--overwrite", action="store_true", help="replace earlier results in --out, all of them")
    add("--quiet", action="store_true", help="say nothing but warnings and errors")
    add("--json", action="store_true", help="print one JSON object with the key numbers, no text")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the network and its training that commands which train share."""
    add = parser.add_argument
    add("--convolutions", type=int, default=3, help="convolution layers (3)")
    add("--reach", type=float, default=8.0, help="Å up to which distances are told apart (8)")
    add("--epochs", type=int, default=50, help="most training epochs (50)")
    add("--seed", type=int, default=0, help="random seed (0)")


def _command(
    commands: Commands, name: str, summary: str, description: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG,
    )
