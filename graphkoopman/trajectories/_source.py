"""`Source`: where what is known of a trajectory comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Source:
    """What a trajectory was made from, and how its numbers are known.

    Attributes
    ----------
    name : str
        File, or kind of object.
    format : str
        Reader.
    n_stored : int
        Frames in the file.
    n_after : int
        How many of these come after the last one that was kept.
    timestep : {"times", "steps and timestep=", "timestep=", "unknown"}
        Whether the time between frames is that of the file, was given, or is not known.
    cell : {"file", "topology", "cell=", "none"}
        Where the cell comes from; "none" is no cell.
    times : tuple of float or None
        First and last time that the file holds, ps.
    guesses : dict of str to str
        Name → element, of those that only a name suggests.
    notes : tuple of str
        What the reader has to say of this file.
    """

    name: str
    format: str
    n_stored: int = 0
    n_after: int = 0
    timestep: Literal["times", "steps and timestep=", "timestep=", "unknown"] = "unknown"
    cell: Literal["file", "topology", "cell=", "none"] = "none"
    times: tuple[float, float] | None = None
    guesses: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
