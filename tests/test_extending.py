"""The page on extending the package: its blocks run one after the other, as a reader would."""

import re
import warnings
from pathlib import Path

import pytest
from sklearn.exceptions import ConvergenceWarning

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
MOST_LINES = 30


def test_an_encoder_takes_thirty_lines():
    (encoder,) = [block for block in BLOCKS if '@register("encoder")' in block]
    lines = [line for line in encoder.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES


@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.BeyondDataWarning")
def test_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "extending"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs
        for i, block in enumerate(BLOCKS):
            exec(compile(block, f"{PAGE.name}, block {i}", "exec"), namespace)
    assert len(BLOCKS) >= 6
    assert (tmp_path / "shells.safetensors").exists()
    # a pooling that was only built
    namespace["pooled"].set_params(encoder__n_features=4, max_epochs=1)
