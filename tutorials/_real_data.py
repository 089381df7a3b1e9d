"""Where the tutorials on real trajectories find their data and leave their figures."""

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from graphkoopman.koopman import FewUnitsWarning

VARIABLE = "GRAPHKOOPMAN_DATA"
BESIDE_THE_CHECKOUT = Path(__file__).parents[2] / "shared" / "data"
IN_GALLERY = "sphinx_gallery" in sys.modules  # which collects the figures left open
SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"
if SMALL:  # wide intervals are what short versions pay with
    warnings.simplefilter("ignore", FewUnitsWarning)


def default_folder() -> Path:
    """The folder named by the environment, or the one beside the checkout."""
    return Path(os.environ.get(VARIABLE, BESIDE_THE_CHECKOUT))


def figure_folder(description: str) -> Path:
    """Folder for the figures of a tutorial that needs no data, from the command line."""
    folder = _parser(description).parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def folders(name: str, description: str) -> tuple[Path, Path]:
    """Folder of the data and folder for the figures, from the command line.

    Parameters
    ----------
    name : str
        Subfolder of the data that the tutorial reads.
    description : str
        Of the tutorial.
    """
    parser = _parser(description)
    parser.add_argument("--data", type=Path, default=default_folder(), help="folder of the data")
    options = parser.parse_args()
    if not (options.data / name).is_dir():
        parser.error(
            f"there is no folder {name} in {options.data}; name the folder of the trajectories "
            f"with --data or in the environment variable {VARIABLE}"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    return options.data / name, options.out


def _parser(description: str) -> argparse.ArgumentParser:
    """Arguments that all tutorials share."""
    lines = description.splitlines()  # none in a gallery, which takes them away
    parser = argparse.ArgumentParser(description=next((line for line in lines if line), None))
    out = Path(tempfile.gettempdir()) / f"graphkoopman-{Path(sys.argv[0]).stem}"
    parser.add_argument("--out", type=Path, default=out, help=f"folder for figures ({out})")
    return parser


def save(figure: Figure, path: Path) -> None:
    """Write a figure, and close it unless it is wanted for the documentation."""
    figure.savefig(path, dpi=150, bbox_inches="tight")
    if not IN_GALLERY:
        plt.close(figure)
        print("wrote", path)


def with_interval(value: float, interval: Iterable[float]) -> str:
    """A number with its 95 % interval."""
    low, high = interval
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def stated(result: Any, name: str) -> str:
    """A number of a result with its 95 % interval."""
    return with_interval(getattr(result, name), getattr(result, f"{name}_interval"))
