"""What people see of long work, on a terminal and in a file."""

import io
import sys

import pytest

from graphkoopman import progress
from graphkoopman.progress import Progress, counted


class Terminal(io.StringIO):
    """A terminal that keeps what was written to it."""

    def isatty(self):
        """It is one."""
        return True


def test_a_terminal_shows_one_line_with_the_time_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("training", 4, "epochs") as stage:
        for number in range(3):
            stage.step(f"score {number}")
    written = sys.stderr.getvalue()
    # one line that is written over, and ends once
    assert written.count("\n") == 1
    last = written.strip().split("\r")[-1]
    assert last.startswith("training 100%")
    assert "3/3 epochs" in last
    assert "score 2" in last
    assert "<00:00" in last


def test_a_file_gets_one_line_of_long_stages_only(monkeypatch, capsys):
    with Progress("graphs"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "NEWS", 0.0)
    assert list(counted(2, "refits")) == [0, 1]
    with Progress("graphs"):
        pass
    assert capsys.readouterr().err == "refits: 2 done in 0 s\ngraphs: 0 s\n"
    with Progress("quiet", active=False), Progress("failed"):
        pass
    capsys.readouterr()
    with pytest.raises(ValueError, match="bad"), Progress("failed"):
        raise ValueError("bad")
    assert capsys.readouterr().err == ""
