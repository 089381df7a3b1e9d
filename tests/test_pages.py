"""The how-to pages on symmetry, representations and transfer: their blocks run, as a reader's."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
# fits on these pages are short
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::graphkoopman.koopman.BeyondDataWarning",
    "ignore::graphkoopman.koopman.FixedStateWarning",
)


@pytest.mark.parametrize("page", ["representations", "symmetry", "transfer", "whole_systems"])
def test_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{page}.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 1
    namespace = {"__name__": page}
    for i, block in enumerate(blocks):
        exec(compile(block, f"{page}.md, block {i}", "exec"), namespace)
