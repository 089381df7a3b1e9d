"""Build the notebooks of the tutorials from their sources: run them, and keep their figures.

``python tutorials/build.py`` executes every notebook that is older than its source, at full size,
or of those that are named. ``--small`` runs short versions on small samples, in seconds each, and
``--out FOLDER`` leaves them there. Where nothing but text changed, the figures of before are kept
and nothing runs. ``--check`` fails where a notebook is out of date.

A source is ``tutorials/NAME.py`` in the percent format of jupytext. A cell tagged ``answer`` makes
the figure at the head of its notebook, ``attachment:answer.png`` there, which is also the thumbnail
of the documentation, ``docs/_static/tutorials/NAME.png``.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
THUMBNAILS = FOLDER.parent / "docs" / "_static" / "tutorials"
SCRIPTS = ("build", "make_samples")  # are no tutorials
KEY = "graphkoopman"  # of what a notebook knows of its making
LIMIT = 2_000_000  # bytes of a notebook
SHORT = "Executed at its small size, on a short sample: numbers are for the form, not for the science.\n"


def sources(names: list[str] = ()) -> list[Path]:
    """Sources of all tutorials, or of those named."""
    known = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if path.stem not in SCRIPTS}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no tutorial {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def read_source(path: Path) -> NotebookNode:
    """The cells of a source, without results."""
    notebook = jupytext.read(path, fmt="py:percent")
    for k, cell in enumerate(notebook.cells):
        cell["id"] = f"{path.stem.replace('_', '-')}-{k}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def digest(notebook: NotebookNode, kinds: tuple[str, ...] = ("code", "markdown")) -> str:
    """SHA-256 of the sources of the cells of some kinds."""
    cells = [[cell.cell_type, cell.source] for cell in notebook.cells if cell.cell_type in kinds]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def is_current(source: Path, target: Path) -> bool:
    """Whether a notebook holds the results of what its source says now."""
    if not target.is_file():
        return False
    wanted, built = read_source(source), nbformat.read(target, as_version=4)
    made = built.metadata.get(KEY, {}).get("code")
    return digest(wanted) == digest(built) and made == digest(wanted, ("code",))


def execute(notebook: NotebookNode, folder: Path, small: bool) -> None:
    """Run all cells in place, as Jupyter would from a folder."""
    os.environ["GRAPHKOOPMAN_TUTORIAL_SIZE"] = "small" if small else "full"
    begin = time.monotonic()
    NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    notebook.metadata[KEY] = {
        "size": "small" if small else "full",
        "code": digest(notebook, ("code",)),
        "seconds": round(time.monotonic() - begin),
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_handle(output)]
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == "stderr":
                output.text = _without_paths(output.text)


def _is_handle(output: NotebookNode) -> bool:
    """Whether an output is only what a plot returned, such as ``<Axes: xlabel=...>``."""
    text = output.get("data", {}).get("text/plain", "")
    return output.output_type == "execute_result" and bool(
        re.match(r"\[?(<Axes|<matplotlib\.|<Figure|Text\()", text)
    )


def _without_paths(text: str) -> str:
    """Warnings without the file and line of the machine that they came from."""
    return re.sub(r"^\S+\.py:\d+: (\w+: .*)\n(  .*\n)?", r"\1\n", text, flags=re.MULTILINE)


def keep_results(notebook: NotebookNode, earlier: NotebookNode) -> bool:
    """Take over the results of an earlier build of the same code, if it is one."""
    made = earlier.metadata.get(KEY, {})
    if made.get("code") != digest(notebook, ("code",)):
        return False
    old = [cell for cell in earlier.cells if cell.cell_type == "code"]
    new = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, before in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    notebook.metadata[KEY] = made
    return True


def attach_answer(notebook: NotebookNode) -> str:
    """Show the figure of the cell tagged ``answer`` at the head; the PNG in base 64."""
    tagged = [cell for cell in notebook.cells if "answer" in cell.metadata.get("tags", ())]
    pictures = [
        output["data"]["image/png"]
        for cell in tagged
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    if not pictures:
        raise SystemExit("no cell tagged 'answer' made a figure")
    head = next(cell for cell in notebook.cells if "attachment:answer.png" in cell.source)
    head["attachments"] = {"answer.png": {"image/png": pictures[-1].strip()}}
    return pictures[-1]


def say_size(notebook: NotebookNode) -> None:
    """Let the first code cell say that it was a short run, where it was."""
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.outputs = [output for output in first.outputs if output.get("text") != SHORT]
    if notebook.metadata[KEY]["size"] == "small":
        first.outputs.insert(0, nbformat.v4.new_output("stream", name="stdout", text=SHORT))


def build(source: Path, out: Path, *, small: bool, force: bool) -> None:
    """One notebook, and its thumbnail where it is of full size."""
    target = out / f"{source.stem}.ipynb"
    notebook = read_source(source)
    if not force and is_current(source, target):
        print(f"{source.stem}: up to date")
        return
    kept = not force and target.is_file() and keep_results(notebook, nbformat.read(target, 4))
    if not kept:
        print(f"{source.stem} ...", flush=True)
        execute(notebook, out, small)
    picture = attach_answer(notebook)
    say_size(notebook)
    nbformat.validate(notebook)
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > LIMIT:
        raise SystemExit(f"{source.stem}: {len(text) / 1e6:.1f} MB, more than {LIMIT / 1e6:g}")
    target.write_text(text, encoding="utf-8")
    if out == FOLDER:
        THUMBNAILS.mkdir(parents=True, exist_ok=True)
        (THUMBNAILS / f"{source.stem}.png").write_bytes(base64.b64decode(picture))
    seconds = "text only" if kept else f"{notebook.metadata[KEY]['seconds']} s"
    print(f"{source.stem}: {seconds}, {len(text) / 1000:.0f} kB", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="tutorials to build; all by default")
    parser.add_argument("--small", action="store_true", help="short versions, on small samples")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the notebooks")
    parser.add_argument("--force", action="store_true", help="run also what is up to date")
    parser.add_argument(
        "--check", action="store_true", help="fail where one is out of date, and end"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = sources(options.names)
    if options.check:
        old = [
            path.stem for path in chosen if not is_current(path, options.out / f"{path.stem}.ipynb")
        ]
        raise SystemExit(f"older than their sources: {', '.join(old)}" if old else 0)
    for path in chosen:
        build(path, options.out, small=options.small, force=options.force)


if __name__ == "__main__":
    sys.exit(main())
