"""Tables and figures that commands write: `write_csv`, `write_table`, `rows`, `save_figure`."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from graphkoopman.tables import INTERVAL as LIMITS, rows_of, with_limits

__all__ = ["INTERVAL", "rows", "save_figure", "with_limits", "write_csv", "write_table"]

INTERVAL = list(LIMITS)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One table as comma-separated values."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns that broadcast against each other as comma-separated values."""
    write_csv(path, list(columns), rows_of(columns))


def rows(*columns: Any) -> list[list[str]]:
    """Arrays that broadcast against each other as rows of text."""
    return rows_of({str(number): column for number, column in enumerate(columns)})


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, and close it."""
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)
