"""Every tutorial runs from top to bottom at its small size and leaves readable figures."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib import image

FOLDER = Path(__file__).parents[2] / "tutorials"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith(("_", "run_")))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_tutorial(path, shared_data, tmp_path):
    environment = os.environ | {
        "GRAPHKOOPMAN_TUTORIAL_SIZE": "small",
        "GRAPHKOOPMAN_DATA": str(shared_data),
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(path), "--out", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Warning" not in done.stderr
    assert len(done.stdout.splitlines()) >= 4
    figures = sorted(tmp_path.glob("*.png"))
    saved = re.findall(r"^\s*save\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(figures) >= len(saved)
    for figure in figures:
        assert image.imread(figure).std() > 0.01, f"{figure.name} is blank"
