"""Tables and figures that commands write: `write_csv`, `rows`, `with_limits`, `save_figure`."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

INTERVAL = ["95 % low", "95 % high"]


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One table as comma-separated values."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def rows(*columns: Any) -> list[list[str]]:
    """Arrays that broadcast against each other as rows of text."""
    flat = [column.ravel() for column in np.broadcast_arrays(*columns)]
    return [[_text(value) for value in row] for row in zip(*flat, strict=True)]


def with_limits(name: str) -> list[str]:
    """Column names of a quantity in a table that holds several with their intervals."""
    return [name, *(f"{name}, {limit}" for limit in INTERVAL)]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, and close it."""
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
