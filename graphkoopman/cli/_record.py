"""The record of a run, ``run.json``: what was done with what, so that it can be done again.

Public: :class:`Recorder`, :func:`read_record`, :func:`recorded_options`.
"""

import argparse
import hashlib
import json
import os
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from graphkoopman import __version__
from graphkoopman.cli._console import Console, plain
from graphkoopman.cli._folder import RECORD
from graphkoopman.storage import replacing

FORMAT = 1
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "deeptime", "mdtraj", "numba", "ase")
BLOCK = 2**20
# these say where results go and how they are shown, not what they are
OF_THE_CALL = {
    "command", "config", "out", "overwrite", "quiet", "json", "report", "console", "arguments",
    "runs",
}  # fmt: skip
PATHS = ("top", "charges", "model")


class Recorder:
    """Collects what a command does, from its start to its end.

    Parameters
    ----------
    options : Namespace
        Of the command.
    arguments : sequence of str
        The command line.
    """

    def __init__(self, options: argparse.Namespace, arguments: Sequence[str]) -> None:
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self._begin = time.perf_counter(), time.process_time()
        self.content: dict[str, Any] = {
            "format": FORMAT,
            "command": options.command,
            "command_line": shlex.join(["graphkoopman", *arguments]),
            "folder": os.getcwd(),
            "started": self.started,
            "versions": versions(),
            "machine": {"platform": platform.platform(), "python": platform.python_version()},
            "options": {
                name: value
                for name, value in plain(vars(options)).items()
                if name not in OF_THE_CALL
            },
        }

    def inputs(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        """Note input files by name, size and checksum."""
        self.content["inputs"] = [file_record(Path(path)) for path in dict.fromkeys(paths)]

    def note(self, **entries: Any) -> None:
        """Add entries."""
        self.content.update(plain(entries))

    def write(self, folder: Path, console: Console, *, finished: bool = True) -> None:
        """Write ``run.json`` of a folder."""
        self.write_file(folder / RECORD, console, finished=finished)

    def write_beside(self, path: Path, console: Console) -> Path:
        """Write the record of results that are one file: ``states.xyz``, ``states.run.json``."""
        beside = path.with_suffix(f".{RECORD}")
        self.write_file(beside, console)
        return beside

    def write_file(self, path: Path, console: Console, *, finished: bool = True) -> None:
        """Write the record."""
        wall, cpu = time.perf_counter() - self._begin[0], time.process_time() - self._begin[1]
        self.note(wall_seconds=round(wall, 3), cpu_seconds=round(cpu, 3), warnings=console.warnings)
        self.note(finished=finished)
        text = json.dumps(self.content, indent=1, ensure_ascii=False)
        with replacing(path) as file:
            file.write(f"{text}\n".encode())


def input_paths(options: argparse.Namespace) -> list[Path]:
    """All files that the options of a command name."""
    paths = [Path(path) for path in getattr(options, "trajectories", None) or ()]
    paths += [Path(path) for path in getattr(options, "data", None) or ()]
    named = [getattr(options, name, None) for name in PATHS]
    return [*paths, *(Path(path) for path in named if path is not None)]


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    found = {"graphkoopman": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def file_record(path: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def read_record(path: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises
    ------
    ValueError
        If it is not one of ours.
    """
    path = path / RECORD if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = content["format"] <= FORMAT and isinstance(content["options"], dict)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"--config must be a {RECORD} of graphkoopman, got {path}") from error
    if not known:
        raise ValueError(f"{path} is of a newer graphkoopman; upgrade it")
    return content


def recorded_options(
    options: argparse.Namespace, defaults: argparse.Namespace, record: Mapping[str, Any]
) -> argparse.Namespace:
    """Options of a record; what the command line sets otherwise wins.

    Parameters
    ----------
    options : Namespace
        Of the command line.
    defaults : Namespace
        Of a command line that says nothing.
    record : mapping
        From `read_record`.

    Raises
    ------
    ValueError
        If the record is of another command, or an input file is not the one recorded.
    """
    if record["command"] != options.command:
        raise ValueError(
            f"--config must be of graphkoopman {options.command}, got one of {record['command']}"
        )
    merged = argparse.Namespace(**vars(options))
    for name, value in record["options"].items():
        is_set = getattr(options, name, None) != getattr(defaults, name, None)
        if hasattr(options, name) and not is_set:
            default = getattr(defaults, name)
            is_path = isinstance(default, Path) or name in (*PATHS, "cache", "checkpoint")
            setattr(merged, name, Path(value) if is_path and isinstance(value, str) else value)
    used = {str(path) for path in input_paths(merged)}
    for entry in record.get("inputs", []):
        if entry["path"] in used and file_record(Path(entry["path"])) != entry:
            raise ValueError(
                f"{entry['path']} is not the file of {record['started']}: it has changed since; "
                "give the trajectories by hand to fit to new data"
            )
    return merged
