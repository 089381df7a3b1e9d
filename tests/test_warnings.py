"""Every warning and every note is in docs/warnings.md, and nothing there is gone; each is seen."""

import ast
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import graphkoopman
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.koopman import ck_error, estimate_koopman
from graphkoopman.report._verdict import judge

PACKAGE = Path(graphkoopman.__file__).parent
TESTS = Path(__file__).parent
PAGE = PACKAGE.parent / "docs" / "warnings.md"
SHORTEST = 25  # letters: what is shorter is part of a sentence, or a format
# sentences begin with the name of what is shown beside them, and are no notes
HEADLINES = ("slowest time", "no slow process", "… is longer than any run", "n_rollbacks")


def sentences(file, functions):
    """Messages that functions make, with … where values stand."""
    found = []
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if not isinstance(node, ast.FunctionDef) or not re.fullmatch(functions, node.name):
            continue
        docstring = ast.get_docstring(node, clean=False)
        whole = [sub for sub in ast.walk(node) if isinstance(sub, ast.JoinedStr)]
        parts = {id(part) for joined in whole for part in ast.walk(joined)} - set(map(id, whole))
        for sub in ast.walk(node):
            if isinstance(sub, ast.JoinedStr):
                values = [p.value if isinstance(p, ast.Constant) else "…" for p in sub.values]
                found.append("".join(values))
            elif isinstance(sub, ast.Constant) and id(sub) not in parts and sub.value != docstring:
                found.append(sub.value)
    found = [text for text in found if isinstance(text, str)]
    return [text for text in found if len(text) > SHORTEST and not text.startswith(HEADLINES)]


def rows_below(heading):
    """First column of the table that follows a heading."""
    _, _, rest = PAGE.read_text().partition(f"{heading}\n")
    table = [line for line in re.split(r"\n#+ ", rest)[0].splitlines() if line.startswith("|")]
    return [line.split("|")[1].strip() for line in table[2:]]


def matches(row, sentence):
    """Whether a row of the page is the beginning or a part of a message; … is anything."""
    pattern = ".*".join(re.escape(part.strip()) for part in row.split("…"))
    return re.search(pattern, sentence, re.DOTALL) is not None


@pytest.mark.parametrize(
    ("heading", "file", "functions"),
    [
        ("## Training", "estimator/_checks.py", "warn_of_doubts|_doubts_of_.*"),
        ("### Notes of `fit`", "report/_verdict.py", "_slowest|_advice|_doubts"),
    ],
)
def test_messages_and_rows_are_the_same(heading, file, functions):
    # what two messages have in common is a variable of its own
    common = "of the memberships lay outside the simplex of crisp states"
    said = [text for text in sentences(file, functions) if text != f"… {common}"]
    said = [text if not text.startswith("…,") and not text.startswith("… (limit")
            else f"… {common}{text[1:]}" for text in said]  # fmt: skip
    rows = rows_below(heading)
    assert len(rows) > 5
    assert [row for row in rows if not any(matches(row, text) for text in said)] == []
    assert [text for text in said if not any(matches(row, text) for row in rows)] == []


def test_every_class_is_warned_of_in_a_test():
    names = {
        name
        for file in PACKAGE.rglob("*.py")
        for name in re.findall(r"^class (\w+Warning)\(", file.read_text(), re.MULTILINE)
    }
    tests = "\n".join(file.read_text() for file in TESTS.rglob("test_*.py"))
    caught = set(re.findall(r"warns\(\s*\(?(?:\w+\.)*(\w+Warning)", tests))
    caught |= {
        name for group in re.findall(r"warns\(\((.*?)\)", tests) for name in group.split(", ")
    }
    assert names - caught == set()


def learned(lagtime, **changes):
    """What `judge` asks of an estimator: nothing speaks against it but what is named."""
    good = {"converged_": True, "clipped_mass_": 0.0, "start_scores_": [1.5, 1.5, 1.5]}
    good |= {"agreement_": 0.99, "n_iter_": 10, "lagtime": lagtime, "timestep_": 1.0}
    return SimpleNamespace(**good | changes)


def notes(labels, lagtime, horizon, **changes):
    probs = [np.eye(labels.max() + 1)[labels]]
    model = estimate_koopman(probs, lagtime, timestep=1.0, n_bootstrap=50, random_state=0)
    markov = None if horizon is None else ck_error(probs, lagtime, horizon)
    verdict = judge(learned(lagtime, **changes), model, markov, [len(labels)], name="Li")
    return " ".join(verdict.notes)


def chain(slowest, n_frames, n_targets, seed=0):
    return make_hopping(
        chain_rates(2, slowest=slowest), n_frames, n_targets=n_targets, random_state=seed
    ).labels


UNSETTLED = "ignore::graphkoopman.koopman."


@pytest.mark.filterwarnings(f"{UNSETTLED}FewUnitsWarning", f"{UNSETTLED}BeyondDataWarning",
                            f"{UNSETTLED}InvalidTimescaleWarning")  # fmt: skip
@pytest.mark.parametrize(
    ("note", "data", "lagtime", "horizon", "changes"),
    [
        ("", (20.0, 3000, 20), 5, 25, {}),
        ("The slowest time (", (60.0, 15, 60), 2, 6, {}),
        ("holds fewer than 3 of the slowest times", (60.0, 120, 60), 4, 12, {}),
        ("too few to tell whether the model predicts", (20.0, 60, 3), 3, None, {}),
        ("20% of the memberships had to be cut off", (20.0, 3000, 20), 5, 25,
         {"clipped_mass_": 0.2}),
        ("Intervals rest on ", (60.0, 120, 60), 4, 12, {}),
        ("One start only", (20.0, 3000, 20), 5, 25, {"start_scores_": [1.5]}),
        ("Starts agree with κ = 0.50 only", (20.0, 3000, 20), 5, 25, {"agreement_": 0.5}),
        ("Training ended while the score still rose", (20.0, 3000, 20), 5, 25,
         {"converged_": False}),
    ],
)  # fmt: skip
def test_notes_on_data_made_for_them(note, data, lagtime, horizon, changes):
    said = notes(chain(*data), lagtime, horizon, **changes)
    assert note in said
    if not note:  # and nothing is said of a good model
        assert said == ""


@pytest.mark.filterwarnings(f"{UNSETTLED}InvalidTimescaleWarning")
def test_note_of_a_model_without_relaxation():
    """Targets that change sides in nine of ten frames: λ = 0.1 - 0.9."""
    flips = np.random.default_rng(0).random((3000, 10)) < 0.9
    labels = np.cumsum(flips, axis=0) % 2
    assert "No relaxation time can be told" in notes(labels, 1, 4)


def test_note_of_states_with_memory():
    """Two places that look alike, of which one exchanges fast and the other hardly."""
    rates = [[-0.55, 0.05, 0.5], [0.05, -0.05, 0.0], [0.5, 0.0, -0.5]]
    data = make_hopping(rates, 3000, n_targets=20, visible=[0, 0, 1], random_state=0)
    assert "Predictions over several lags miss" in notes(data.visible_labels, 2, 10)
