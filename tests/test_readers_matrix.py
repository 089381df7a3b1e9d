"""Every format, read back against files of independent writers, see benchmarks/readers.py."""

import dataclasses

import numpy as np
import pytest

from benchmarks import readers
from benchmarks._reader_files import WRITERS
from graphkoopman import read_trajectory


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("cell", readers.CELLS)
def test_right_or_refused(kind, cell):
    for wrapped in (True, False):
        for times in readers.TIMES:
            for elements in readers.ELEMENTS:
                outcome, said = readers.judge(kind, cell, wrapped, times, elements)
                assert outcome != "silent", f"{wrapped=} {times=} {elements=}: {said}"
                if times == "even" and elements == "right":
                    assert outcome in ("right", "cannot hold")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda t: {"cell": np.array(t.cell) + np.diag([0.1, 0, 0])}, "distances of frame 0"),
        (lambda t: {"timestep": 1.001 * t.timestep}, "timestep"),
        (lambda t: {"species": t.species[::-1]}, "species"),
        (lambda t: {"positions": t.positions + 0.01}, "positions"),
        (lambda t: {"cell": None}, "cell None"),
    ],
)
def test_a_silent_difference_is_found(change, found, monkeypatch):
    """Negative control: a reader that is a little wrong."""

    def wrong(*arguments, **options):
        read = read_trajectory(*arguments, **options)
        return dataclasses.replace(read, **change(read))

    monkeypatch.setattr(readers, "read_trajectory", wrong)
    outcome, said = readers.judge("xtc", "triclinic", True, "even", "right")
    assert outcome == "silent"
    assert found in said
