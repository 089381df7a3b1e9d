"""Chemiscope datasets, streamed: `write_chemiscope`.

The layout is chemiscope's input format: structures, properties of environments, environments. The
stand-alone page carries chemiscope's own script, from its Python package.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np

from graphkoopman._optional import missing
from graphkoopman.export._frames import LabelledFrame, labelled_frames, symbols_of
from graphkoopman.probabilities import TargetRun

__all__ = ["write_chemiscope", "write_chemiscope_page"]

CUTOFF = 4.0  # Å, of the environment shown around a target

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{margin:0}}.row{{display:flex;height:100vh}}.col{{flex:1;min-width:0}}</style></head>
<body><div class="row"><div class="col" id="map"></div><div class="col">
<div id="structure" style="height:75%"></div><div id="info"></div></div></div>
<script>{script}</script><script type="application/json" id="data">"""
PAGE_END = """</script><script>
Chemiscope.DefaultVisualizer.load(
  {map: "map", structure: "structure", info: "info", meta: document.createElement("div")},
  JSON.parse(document.getElementById("data").textContent)
);
</script></body></html>
"""


def write_chemiscope(file: BinaryIO, runs: Sequence[TargetRun], title: str) -> None:
    """Write the dataset: an environment per target and frame, with its state and probabilities."""
    meta = {"name": title, "description": "states of graphkoopman"}
    file.write(f'{{"meta":{json.dumps(meta)},"structures":['.encode())
    names = [symbols_of(run) for run in runs]
    _write_list(file, (_structure(frame, names[frame.run]) for frame in labelled_frames(runs)))
    file.write(b'],"properties":{')
    properties: dict[str, Callable[[LabelledFrame, np.ndarray], np.ndarray]] = {
        "state": lambda frame, atoms: frame.state[atoms],
        "target": lambda frame, atoms: frame.target[atoms],
        "time": lambda frame, atoms: np.full(len(atoms), frame.time),
    }
    for state in range(runs[0].n_states):
        properties[f"probability {state}"] = partial(_probability, state)
    for number, (name, values) in enumerate(properties.items()):
        entry = {"target": "atom", **({"units": "ps"} if name == "time" else {})}
        head = json.dumps(entry)[:-1]
        file.write(f'{"," if number else ""}{json.dumps(name)}:{head},"values":['.encode())
        _write_list(
            file,
            (
                ",".join(map(str, values(frame, _anchors(runs[frame.run]))))
                for frame in labelled_frames(runs)
            ),
        )
        file.write(b"]}")
    file.write(b'},"environments":[')
    _write_list(file, _environments(runs))
    file.write(b"]}")


def _probability(state: int, frame: LabelledFrame, atoms: np.ndarray) -> np.ndarray:
    return frame.probs[atoms, state]


def write_chemiscope_page(file: BinaryIO, runs: Sequence[TargetRun], title: str) -> None:
    """Write one HTML page that shows the dataset without a network."""
    found = find_spec("chemiscope")
    if found is None or found.origin is None:
        raise missing(
            "chemiscope", "a stand-alone chemiscope page", "write .json for chemiscope.org"
        )
    script = Path(found.origin).parent / "sphinx" / "static" / "chemiscope.min.js"
    file.write(PAGE.format(title=title, script=script.read_text(encoding="utf-8")).encode())
    write_chemiscope(file, runs, title)
    file.write(PAGE_END.encode())


def _anchors(run: TargetRun) -> np.ndarray:
    """First atom of every target, where its environment is centred."""
    return run.targets.atoms[run.targets.offsets[:-1]]


def _environments(runs: Sequence[TargetRun]) -> Iterator[str]:
    structure = 0
    for run in runs:
        anchors = _anchors(run).tolist()
        for _ in range(run.n_frames):
            yield ",".join(
                f'{{"structure":{structure},"center":{atom},"cutoff":{CUTOFF}}}' for atom in anchors
            )
            structure += 1


def _structure(frame: LabelledFrame, names: list[str]) -> str:
    entry = {"size": len(names), "names": names}
    entry |= dict(zip("xyz", frame.positions.T.astype(float).round(4).tolist(), strict=True))
    if frame.cell is not None:
        entry["cell"] = frame.cell.ravel().tolist()
    return json.dumps(entry, separators=(",", ":"))


def _write_list(file: BinaryIO, items: Iterator[str]) -> None:
    for number, item in enumerate(items):
        file.write(f"{',' if number else ''}{item}".encode())
