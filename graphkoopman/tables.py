"""Results as tables, for data frames, CSV files and notebooks; `with_interval`, one number as text.

A result names its columns, with units, once; data frames, CSV files and notebooks all show these.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from graphkoopman._optional import missing

__all__ = ["with_interval"]

INTERVAL = ("95 % low", "95 % high")
MOST_ROWS = 20  # of a table in a notebook


class Tabular:
    """A result that can be shown as one tidy table: a row per value, with its interval.

    Its ``repr`` gives the shapes of arrays and the values of everything else; a dataclass has to be
    made with ``repr=False`` for that.
    """

    figure: ClassVar[str] = ""  # function of graphkoopman.plotting that draws this result

    def __repr__(self) -> str:
        parts = []
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = f"<{' × '.join(map(str, value.shape))}>"
            elif isinstance(value, float):
                value = f"{value:.4g}"
            elif isinstance(value, np.generic | int | str | bool | tuple) or value is None:
                value = repr(value)
            else:
                value = f"<{type(value).__name__}>"
            parts.append(f"{field.name}={value}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def table(self) -> dict[str, Any]:
        """Columns by name, with units; arrays that broadcast against each other."""
        raise NotImplementedError

    def to_dataframe(self) -> Any:
        """The result as a tidy `pandas.DataFrame`, with units in the names of its columns.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            Without pandas.
        """
        try:
            import pandas
        except ImportError as error:
            raise missing("pandas", "to_dataframe") from error
        columns = self.table()
        arrays = np.broadcast_arrays(*map(np.asarray, columns.values()))
        return pandas.DataFrame(
            {name: array.ravel() for name, array in zip(columns, arrays, strict=True)}
        )

    def plot(self, ax: Any = None, **settings: Any) -> Any:
        """The figure of the result.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None
            New ones by default.
        **settings
            Of the function of `graphkoopman.plotting` that draws it.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        TypeError
            For a result that no single figure shows.
        """
        if not self.figure:
            raise TypeError(
                f"{type(self).__name__} has no single figure; see graphkoopman.plotting, or "
                "to_dataframe()"
            )
        # figures are drawn above all results: found by name, when one is asked for
        return getattr(import_module("graphkoopman.plotting"), self.figure)(self, ax, **settings)

    def _repr_html_(self) -> str:
        columns = self.table()
        rows = rows_of(columns)
        more = len(rows) - MOST_ROWS
        note = f"<p>… and {more} rows more: to_dataframe()</p>" if more > 0 else ""
        title = f"<p><code>{html.escape(repr(self))}</code></p>"
        return title + html_table(list(columns), rows[:MOST_ROWS]) + note


def rows_of(columns: Mapping[str, Any]) -> list[list[str]]:
    """Rows of text of columns that broadcast against each other."""
    flat = [column.ravel() for column in np.broadcast_arrays(*map(np.asarray, columns.values()))]
    return [[_text(value) for value in row] for row in zip(*flat, strict=True)]


def interval_columns(name: str, values: Any, interval: Any) -> dict[str, Any]:
    """Columns of a quantity and its limits, low and high on the last axis of ``interval``."""
    limits = np.asarray(interval)
    return dict(zip(with_limits(name), (values, limits[..., 0], limits[..., 1]), strict=True))


def with_limits(name: str) -> list[str]:
    """Column names of a quantity in a table that holds several with their intervals."""
    return [name, *(f"{name}, {limit}" for limit in INTERVAL)]


def symbol(kind: Any) -> str:
    """Symbol of an atomic number; any other kind of atom stands for itself."""
    import mdtraj

    try:
        return str(mdtraj.element.Element.getByAtomicNumber(int(kind)).symbol)
    except (KeyError, ValueError):
        return str(kind)


def with_interval(value: float, interval: Iterable[float]) -> str:
    """A number and its interval as text, with three digits.

    Parameters
    ----------
    value : float
    interval : iterable of float
        Lower and upper limit.

    Returns
    -------
    str

    Examples
    --------
    >>> from graphkoopman.tables import with_interval
    >>> with_interval(12.345, (9.8765, 15.0))
    '12.3 [9.88, 15]'
    """
    low, high = interval
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as HTML; text is escaped."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
