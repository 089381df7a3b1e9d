"""The page: first screen, viewer, figures, methods. `page` puts it together."""

import html
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from graphkoopman.plotting import COLORS
from graphkoopman.report import _figures
from graphkoopman.report._closing import exchange_text, time_text
from graphkoopman.report._html import copyable, paragraph, section, table_of
from graphkoopman.report._methods import REFERENCES, methods, percent
from graphkoopman.report._scene import cut_outs, picture
from graphkoopman.report._study import Study
from graphkoopman.report._verdict import agreement_of_starts
from graphkoopman.tables import interval_columns, with_limits

__all__ = ["page"]

MOST_FOLLOWED = 500  # targets in the list of the viewer
# options that say how files are read and what the targets are, with what is not worth saying
READING: dict[str, Any] = {
    "top": None, "timestep": None, "targets": None, "molecules": None, "stride": 1, "skip": 0,
    "cell": None, "exclude": None, "elements": None, "ignore_times": False, "unwrapped": False,
    "neighbors": None, "cutoff": None, "per_species": None,
}  # fmt: skip
DIFFERENCE = (
    "Relaxation times tell how fast populations of all states return to equilibrium; residence "
    "times how long one target stays in one state; mean times to reach how long it takes from one "
    "state to another, through any others."
)


def page(
    study: Study,
    *,
    title: str,
    charges: Any,
    state_charges: Any,
    temperature: float | None,
    record: Mapping[str, Any] | None,
) -> Callable[[Mapping[str, Any]], str]:
    """The page as a function of the scene of its viewer, so that figures are drawn once."""
    cuts = cut_outs(study)
    states = section("states", "States", _cards(study, cuts), _slowest(study))
    sections = [
        section(
            "exchange-of-states",
            "How they exchange",
            paragraph(DIFFERENCE),
            *_figures.dynamics(study),
            _pairs(study),
        ),
        section("words", "What surrounds them", *_words(study, charges)),
        section("places", "Where they are", *_figures.places(study)),
        section("motion", "How they move", *_figures.motion(study, state_charges, temperature)),
        section("trust", "How far to trust it", *_trust(study, record), *_figures.training(study)),
        section("methods", "Methods and record", *_methods(study, record)),
    ]
    head = _verdict(study, record) + _inputs(study)

    def with_scene(scene: Mapping[str, Any]) -> str:
        view = section("view", "In three dimensions", _viewer(study, scene))
        return _document(title, head, [states, view, *sections], scene, cuts)

    return with_scene


def _document(
    title: str, head: str, sections: Sequence[str], scene: Mapping[str, Any], cuts: Any
) -> str:
    """Everything around the sections."""
    links = "".join(
        f'<li><a href="#{name}">{text}</a></li>'
        for name, text in (
            ("states", "States"),
            ("view", "3-D"),
            ("exchange-of-states", "Exchange"),
            ("words", "Surroundings"),
            ("places", "Places"),
            ("motion", "Motion"),
            ("trust", "Trust"),
            ("methods", "Methods"),
        )
    )
    assets = files("graphkoopman.report.assets")
    read = {
        name: assets.joinpath(name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js", "3Dmol-min.js", "3Dmol.LICENSE")
    }
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title><style>{read["report.css"]}</style></head>
<body><a class="skip" href="#states">skip to the states</a>
<header><h1>{html.escape(title)}</h1>{head}
<nav aria-label="sections"><ul>{links}</ul></nav></header>
<main>{"".join(sections)}</main>
<footer>Written by graphkoopman. The viewer is 3Dmol.js (BSD-3-Clause).
<details><summary>licence of 3Dmol.js</summary><pre>{html.escape(read["3Dmol.LICENSE"])}</pre>
</details></footer>
<script type="application/json" id="scene">{_json(scene)}</script>
<script type="application/json" id="cuts">{_json(cuts)}</script>
<script>{_script(read["3Dmol-min.js"])}</script>
<script>{_script(read["report.js"])}</script>
</body></html>
"""


def _verdict(study: Study, record: Mapping[str, Any] | None) -> str:
    verdict = study.verdict
    kind = {"yes": "yes", "no": "no", "can't tell": "unsure"}[verdict.markovian]
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in verdict.notes)
    notes = f"<ul>{notes}</ul>" if notes else ""
    command = next_command(study, record)
    return (
        f'<div class="verdict {kind}" id="verdict" role="status"><p><strong>'
        f"{html.escape(verdict.line)}</strong></p>{notes}"
        f'<p class="command"><code>{html.escape(command)}</code></p></div>'
    )


def next_command(study: Study, record: Mapping[str, Any] | None) -> str:
    """What to run next, given the verdict."""
    options = (record or {}).get("options", {})
    paths = [str(path) for path in options.get("trajectories", [])] or ["TRAJ"]
    given = " ".join(paths if len(paths) <= 3 else [*paths[:2], "…"])
    for name, silent in READING.items():
        value = options.get(name)
        if value is None or value == silent:
            continue
        # molecules are spelled as targets while a command runs
        if name == "targets" and options.get("molecules"):
            continue
        option = "--" + name.replace("_", "-")
        words = [] if value is True else value if isinstance(value, list) else [value]
        given += " ".join(["", option, *(shlex.quote(str(word)) for word in words)])
    lag = study.lag
    if study.verdict.markovian == "yes":
        return f"graphkoopman export MODEL {given} --format extxyz"
    lags = " ".join(f"{lag * factor:g}ps" for factor in (1, 2, 4))
    numbers = " ".join(map(str, range(2, study.n_states + 2)))
    return f"graphkoopman select {given} --states {numbers} --lags {lags}"


def _inputs(study: Study) -> str:
    rows = []
    for number, (trajectory, probs) in enumerate(
        zip(study.trajectories, study.probabilities, strict=True)
    ):
        length = (len(trajectory) - 1) * trajectory.timestep
        rows.append(
            [
                str(number),
                f"{len(trajectory)}",
                f"{trajectory.timestep:g}",
                f"{length:g}",
                f"{trajectory.n_atoms}",
                f"{probs.shape[1]} {study.name}",
                _cell(trajectory),
            ]
        )
    header = ["run", "frames", "timestep / ps", "length / ps", "atoms", "targets", "cell / Å"]
    table = copyable(header, rows, "What was read")
    return (
        table if len(rows) <= 4 else f"<details><summary>What was read</summary>{table}</details>"
    )


def _cell(trajectory: Any) -> str:
    if trajectory.cells is None:
        return "none"
    lengths = np.linalg.norm(trajectory.cells[0], axis=1)
    changes = "" if trajectory.cell.ndim == 2 else ", changing"
    return " × ".join(f"{length:.2f}" for length in lengths) + changes


def _cards(study: Study, cuts: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    model = study.analysis.model
    populations, limits = model.prior.empirical_populations, model.populations_interval()
    cards = []
    for state in range(study.n_states):
        color = COLORS[state % len(COLORS)]
        low, high = limits[state]
        mean, (shortest, longest) = (
            study.core_residence.mean[state],
            study.core_residence.mean_interval[state],
        )
        image = picture(list(map(dict, cuts[state])), color, f"surroundings of state {state}")
        button = (
            f'<button type="button" class="show-cut" data-state="{state}">show in 3-D</button>'
            if cuts[state]
            else ""
        )
        sentence = study.description.sentences[state].split(": ", 1)[1]
        cards.append(
            f'<article class="card" style="--state:{color}"><h3>State {state}</h3>{image}'
            f"<dl><dt>population</dt><dd>{percent(populations[state])} "
            f"[{percent(low)}, {percent(high)}]</dd>"
            f"<dt>stays</dt><dd>{time_text(mean)} [{time_text(shortest)}, {time_text(longest)}]"
            "</dd></dl>"
            f"<p>{html.escape(sentence)}</p>{button}</article>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _slowest(study: Study) -> str:
    model = study.analysis.model
    times = model.prior.timescales_ps()
    columns = {
        "process": np.arange(1, len(times) + 1),
        **interval_columns("relaxation time / ps", times, model.timescales_ps_interval()),
    }
    return table_of(columns, "Slowest times")


def _pairs(study: Study) -> str:
    model = study.analysis.model
    limits = model.koopman_matrix_interval()
    rows = []
    for i, j in np.argwhere(~np.eye(study.n_states, dtype=bool)):
        low, high = limits[i, j]
        rows.append(
            [
                *(str(i), str(j)),
                *(f"{value:.4g}" for value in (model.koopman_matrix[i, j], low, high)),
                *exchange_text(study, i, j),
                str(study.core_residence.transitions[i, j]),
            ]
        )
    header = ["from", "to", *with_limits("K"), *with_limits("mean time to reach / ps"), "events"]
    unseen = (
        ""
        if study.exchange.seen.all()
        else paragraph(
            "Not seen: no way from the one state to the other occurs in these data. What is given "
            "is the time that it takes at least on average, by the time for which nobody went "
            "(95 %).",
            "note",
        )
    )
    return copyable(header, rows, "Exchange of pairs") + unseen


def _words(study: Study, charges: Any) -> list[str]:
    description = study.description
    said = "".join(f"<li>{html.escape(text)}</li>" for text in description.sentences)
    rows = []
    for state in range(study.n_states):
        for i in description.largest(state, 4):
            low, high = description.effect_interval[state, i]
            parameter = description.parameters[i]
            unit = f" {parameter.unit}" if parameter.unit else ""
            rows.append(
                [
                    str(state),
                    parameter.name,
                    f"{description.mean[state, i]:.3g}{unit}",
                    f"{description.effect[state, i]:+.2f} [{low:.2f}, {high:.2f}]",
                ]
            )
    header = ["state", "order parameter", "mean in the state", "difference / standard deviation"]
    tree = description.tree_text()
    return [
        f"<ul>{said}</ul>",
        paragraph(description.summary),
        copyable(header, rows, "What differs most") if rows else "",
        *_figures.surroundings(study, charges),
        f"<details><summary>decision tree for all states</summary><pre>{html.escape(tree)}</pre>"
        "</details>" if tree else "",
    ]  # fmt: skip


def _viewer(study: Study, scene: Mapping[str, Any]) -> str:
    others = sorted(
        {e for e, owner in zip(scene["elements"], scene["owner"], strict=True) if owner < 0}
    )
    species = "".join(
        f'<label><input type="checkbox" name="species" value="{e}" checked>{e}</label>'
        for e in others
    )
    states = "".join(
        f'<label><input type="checkbox" name="state" value="{s}" checked>'
        f'<span class="dot" style="background:{COLORS[s % len(COLORS)]}"></span>state {s}</label>'
        for s in range(study.n_states)
    )
    n_targets = len(scene["states"][0])
    targets = "".join(
        f'<option value="{t}">target {t}</option>' for t in range(min(n_targets, MOST_FOLLOWED))
    )
    more = "; only the targets and what is nearest to them are shown" if scene["hidden"] else ""
    return f"""
<p>Run {scene["run"]}, {len(scene["times"])} frames evenly spread{more}. Drag to turn, scroll or
pinch to zoom.</p>
<div id="viewer" role="img" aria-label="Atoms of the system, targets coloured by their state"></div>
<p id="frame-caption" aria-live="polite"></p>
<div class="controls">
<button type="button" id="play" aria-pressed="false">play</button>
<button type="button" id="back" aria-label="previous frame">◀</button>
<label>time <input type="range" id="slider" min="0" max="{len(scene["times"]) - 1}"
value="0"></label>
<button type="button" id="next" aria-label="next frame">▶</button>
<label>speed <select id="speed"><option value="600">slow</option><option value="200" selected>medium
</option><option value="80">fast</option></select></label>
<label>follow <select id="follow"><option value="-1">nobody</option>{targets}</select></label>
<label><input type="checkbox" id="alone">others hidden</label>
<button type="button" id="reset">whole view</button>
<fieldset><legend>targets</legend>{states}</fieldset>
{f"<fieldset><legend>other atoms</legend>{species}</fieldset>" if species else ""}
</div>"""


def _trust(study: Study, record: Mapping[str, Any] | None) -> list[str]:
    estimator, model = study.estimator, study.analysis.model
    agreement = agreement_of_starts(estimator)
    low, high = study.verdict.ck_interval
    rows = [
        ["does it hold at this lag", study.verdict.markovian,
         f"Chapman–Kolmogorov error {study.verdict.ck:.3f} [{low:.3f}, {high:.3f}]"],
        ["do starts agree", "one start" if agreement is None else f"κ {agreement:.2f}",
         "Cohen's κ between the states of several starts; 1 is the same states"],
        ["how much was cut off", percent(float(estimator.clipped_mass_)),
         "of the memberships; much means that states overlap"],
        ["independent units", f"{model.n_effective:.1f}", f"{model.unit}; intervals rest on them"],
        ["held-out VAMP-2", f"{estimator.validation_score_:.3f}",
         f"at most {study.n_states}; 1 is no process"],
        ["did training end by itself", "yes" if estimator.converged_ else "no",
         f"{estimator.n_iter_} epochs"],
    ]  # fmt: skip
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in study.verdict.notes)
    said = (record or {}).get("warnings") or []
    warned = "".join(f"<li>{html.escape(text)}</li>" for text in said)
    return [
        copyable(["question", "answer", "what it is"], rows, "Checks"),
        f'<h3 id="warnings">What to do</h3><ul>{notes}</ul>' if notes else "",
        f"<details><summary>warnings of the run</summary><ul>{warned}</ul></details>"
        if warned
        else "",
    ]


def _methods(study: Study, record: Mapping[str, Any] | None) -> list[str]:
    references = "".join(f"<li>{html.escape(text)}</li>" for text in REFERENCES)
    parts = [paragraph(methods(study, record)), f"<ol>{references}</ol>"]
    if record is None:
        return parts
    if "command_line" in record:
        parts.append(f"<pre>{html.escape(record['command_line'])}</pre>")
    inputs = record.get("inputs", [])
    if inputs:
        rows = [[entry["path"], str(entry["bytes"]), entry["sha256"]] for entry in inputs]
        parts.append(copyable(["file", "bytes", "SHA-256"], rows, "Input files"))
    settings = {key: record[key] for key in ("versions", "settings", "featurizer") if key in record}
    text = json.dumps(settings, indent=1, ensure_ascii=False)
    parts.append(
        f"<details><summary>settings and versions</summary><pre>{html.escape(text)}</pre></details>"
    )
    return parts


def _json(value: Any) -> str:
    # a closing tag inside would end the script
    return json.dumps(value, separators=(",", ":")).replace("</", "<\\/")


def _script(text: str) -> str:
    return text.replace("</script", "<\\/script")
