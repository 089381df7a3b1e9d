"""The page about a model: everything in it, nothing from elsewhere, small enough to send."""

import json
import re
import warnings
from html.parser import HTMLParser

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from small_fits import make_pipe

from graphkoopman import Trajectory
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.koopman import ck_error, estimate_koopman
from graphkoopman.report import study, write_report
from graphkoopman.report._scene import scene
from graphkoopman.report._verdict import judge, name_of_targets
from graphkoopman.transport import NegativeConductivityWarning

FIGURES = {
    "exchange", "timescales", "ck", "residence", "description", "rdf", "profile", "map",
    "displacement", "diffusion", "history",
}  # fmt: skip


@pytest.fixture(scope="module")
def hopping():
    return make_hopping(chain_rates(2, slowest=20.0), 900, random_state=0)


@pytest.fixture(scope="module")
def pipe(hopping):
    pipe = make_pipe(lagtime=4)
    with warnings.catch_warnings():
        # a fit of a few epochs is not asked to converge here
        warnings.simplefilter("ignore", ConvergenceWarning)
        return pipe.fit(hopping.trajectory)


@pytest.fixture(scope="module")
def result(pipe, hopping):
    graphs = pipe[0].transform(hopping.trajectory)
    charges = np.where(hopping.trajectory.species == 3, 1.0, -0.125)
    return study(pipe[-1], [hopping.trajectory], graphs, None, charges=charges)


@pytest.fixture(scope="module")
def page(pipe, hopping, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    charges = np.where(hopping.trajectory.species == 3, 1.0, -0.125)
    with warnings.catch_warnings():
        # cages that turn on the spot carry nothing
        warnings.simplefilter("ignore", NegativeConductivityWarning)
        _write(path, pipe, hopping.trajectory, charges)
    return path


def _write(path, pipe, trajectory, charges):
    write_report(
        path, pipe, trajectory, charges=charges, state_charges=1.0, temperature=300.0,
        title="Li & <friends>",
        record={
            "options": {"trajectories": ["a.xtc"], "molecules": "SOL", "targets": "molecules SOL",
                        "ignore_times": True, "stride": 1, "top": "my box.pdb"},
            "command_line": "graphkoopman fit a.xtc", "versions": {"graphkoopman": "0.1"},
            "inputs": [{"path": "a.xtc", "bytes": 3, "sha256": "ab" * 32}],
            "warnings": ["states overlap; use fewer"],
        },
    )  # fmt: skip


class Tags(HTMLParser):
    """Tags with their attributes; raises on tags that are closed out of order."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in {"meta", "link", "input", "br", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_section_and_figure_is_there(page):
    tags = Tags(page.read_text())
    assert not tags.open
    ids = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(ids) == len(set(ids)), "ids must be unique, or links of one figure lead to another"
    assert FIGURES | {"charge", "conduction"} <= set(ids)
    assert {"verdict", "states", "view", "viewer", "words", "trust", "methods"} <= set(ids)
    text = page.read_text()
    assert text.count('class="card"') == 2
    for words in (
        "2 states of Li at 4 ps", "graphkoopman fit a.xtc", "abab", "states overlap; use fewer",
        "Xie, A. France-Lanord", "held-out", "BSD-3-Clause", "a rule of one number",
    ):  # fmt: skip
        assert words in text
    read = "a.xtc --top &#x27;my box.pdb&#x27; --molecules SOL --ignore-times --"
    assert re.search(r"graphkoopman (select|export MODEL) " + re.escape(read), text)
    assert "Li &amp; &lt;friends&gt;" in text
    assert "<friends>" not in text


def test_the_page_needs_nothing_else(page):
    tags = Tags(page.read_text())
    for tag, attributes in tags.found:
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            link = attributes.get(name) or ""
            inside = not link or link.startswith(("#", "data:"))
            assert inside, f"{tag} {name}={link}"
    # the sections' own style and script ask for nothing; 3Dmol.js has addresses, used on request
    style = re.search(r"<style>(.*?)</style>", page.read_text(), re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert page.stat().st_size < 2_000_000


def test_what_needs_a_label_has_one(page):
    text = page.read_text()
    tags = Tags(text)
    for tag, attributes in tags.found:
        if tag == "svg":
            assert attributes.get("role") == "img"
        if tag == "figure":
            assert attributes["aria-label"]
        if tag in {"input", "select"}:
            assert re.search(rf"<label>[^<]*(<[^l][^>]*>)?[^<]*<{tag}[^>]*", text)
    assert 'lang="en"' in text
    assert 'name="viewport"' in text


def test_the_viewer_shows_positions_and_states(result, hopping):
    data = scene(result, 10**9)
    assert len(data["times"]) == 100
    import base64

    steps = np.frombuffer(base64.b64decode(data["positions"]), "<i2").reshape(100, -1, 3)
    positions = steps / data["scale"] + data["origin"]
    frames = np.linspace(0, 899, 100).round().astype(int)
    cell = hopping.trajectory.cells[0]
    difference = (positions - hopping.trajectory.positions[frames]) @ np.linalg.inv(cell)
    difference -= np.rint(difference)
    assert np.abs(difference @ cell).max() < 0.006  # steps of 0.01 Å
    states = result.probabilities[0][frames].argmax(axis=2)
    np.testing.assert_array_equal(data["states"], states)
    small = scene(result, 5000)
    assert len(small["times"]) == 5000 // (6 * 72)
    assert json.loads(json.dumps(small)) == small


def test_pages_fit_or_say_so(result, tmp_path):
    write_report(tmp_path / "small.html", result, max_bytes=1_200_000)
    assert (tmp_path / "small.html").stat().st_size <= 1_200_000
    with pytest.raises(ValueError, match="max_bytes must hold the page"):
        write_report(tmp_path / "none.html", result, max_bytes=500_000)
    assert not (tmp_path / "none.html").exists()


def test_equal_results_make_equal_pages(result, tmp_path):
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, result)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_systems_without_a_cell_have_a_page(hopping, tmp_path):
    source = hopping.trajectory[:200]
    alone = Trajectory(source.positions, None, source.species, timestep=1.0, targets=source.targets)
    pipe = make_pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe.fit(alone)
        write_report(tmp_path / "alone.html", pipe, alone)
    text = (tmp_path / "alone.html").read_text()
    assert "The system has no cell" in text
    assert "radial distributions: not possible with these data" in text


def labels_to_probs(labels):
    return np.eye(labels.max() + 1)[labels]


class Learned:
    """What `judge` asks of an estimator."""

    n_iter_, converged_, clipped_mass_ = 10, True, 0.0

    def __init__(self, lagtime, timestep=1.0):
        self.lagtime, self.timestep_ = lagtime, timestep


def judge_of(estimator, model, probs, horizon):
    markov = None if horizon is None else ck_error(probs, estimator.lagtime, horizon)
    return judge(estimator, model, markov, [len(array) for array in probs], name="Li")


@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.FewUnitsWarning")
@pytest.mark.filterwarnings("ignore::graphkoopman.koopman.BeyondDataWarning")
def test_verdicts_of_known_systems():
    data = make_hopping(chain_rates(2, slowest=20.0), 3000, n_targets=20, random_state=0)
    probs = [labels_to_probs(data.labels)]
    model = estimate_koopman(probs, 5, timestep=1.0, n_bootstrap=50, random_state=0)
    verdict = judge_of(Learned(5), model, probs, 25)
    assert verdict.markovian == "yes"
    assert "2 states of Li at 5 ps; holds at this lag (CK" in verdict.line
    # two states that look alike, one of which exchanges fast and the other hardly, have memory
    rates = [[-0.55, 0.05, 0.5], [0.05, -0.05, 0.0], [0.5, 0.0, -0.5]]
    hidden = make_hopping(rates, 3000, n_targets=20, visible=[0, 0, 1], random_state=0)
    probs = [labels_to_probs(hidden.visible_labels)]
    model = estimate_koopman(probs, 2, timestep=1.0, n_bootstrap=50, random_state=0)
    verdict = judge_of(Learned(2), model, probs, 10)
    assert verdict.markovian == "no"
    assert "does not hold at this lag" in verdict.line
    # a run shorter than its slowest time
    slow = make_hopping(chain_rates(2, slowest=60.0), 15, n_targets=60, random_state=1)
    short = [labels_to_probs(slow.labels)]
    model = estimate_koopman(short, 2, timestep=1.0, n_bootstrap=50, random_state=0)
    assert "is longer than any run (15 ps)" in judge_of(Learned(2), model, short, 6).line
    tiny = [array[:7] for array in probs]
    model = estimate_koopman(tiny, 3, timestep=1.0, n_bootstrap=50, random_state=0)
    verdict = judge_of(Learned(3), model, tiny, None)
    assert verdict.markovian == "can't tell"
    assert "runs too short for a CK test" in verdict.line


def test_names_of_targets():
    water = Trajectory(np.zeros((1, 6, 3)), None, [8, 1, 1, 8, 1, 1], timestep=1.0)
    assert name_of_targets(water, [[0, 1, 2], [3, 4, 5]]) == "H2O"
    assert name_of_targets(water, "element O") == "O"
    methane = Trajectory(np.zeros((1, 5, 3)), None, [6, 1, 1, 1, 1], timestep=1.0)
    assert name_of_targets(methane, [[0, 1, 2, 3, 4]]) == "CH4"


def test_wrong_input_is_named(pipe, tmp_path):
    with pytest.raises(ValueError, match="trajs must be given"):
        write_report(tmp_path / "a.html", pipe)
