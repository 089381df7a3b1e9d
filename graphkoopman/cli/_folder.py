"""Folders and files of results that are written whole or not at all.

Public: :func:`check_output`, :func:`check_file`, :func:`output_folder`, :func:`unfinished_folder`.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RECORD = "run.json"  # what tells our folders from others


def check_output(path: Path, overwrite: bool) -> None:
    """Raise unless results may go to a folder, before any work is done.

    Raises
    ------
    ValueError
        If there is something that is not to be replaced.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise ValueError(f"--out must be a folder, got the file {path}; choose another name")
    if not any(path.iterdir()):
        return
    if not overwrite:
        raise ValueError(
            f"--out {path} holds files already; give another folder, or --overwrite to replace all "
            "of it"
        )
    if not (path / RECORD).is_file():
        raise ValueError(
            f"--overwrite replaces only folders that graphkoopman wrote, and {path} has no "
            f"{RECORD}; give another folder"
        )


def check_file(path: Path, overwrite: bool) -> None:
    """Raise unless one file of results may be written.

    Raises
    ------
    ValueError
        If there is something of its name that is not to be replaced.
    """
    if path.is_dir():
        raise ValueError(f"--out must be a file, got the folder {path}; add a name")
    if path.exists() and not overwrite:
        raise ValueError(f"--out {path} is there already; choose another name, or --overwrite")


def unfinished_folder(path: Path) -> Path:
    """Where long work of many parts keeps those that are done, beside the folder for all of it."""
    return path.with_name(f"{path.name}.unfinished")


@contextmanager
def output_folder(path: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to write to, which takes the name wanted once everything is written.

    Parameters
    ----------
    path : Path
    overwrite : bool
        Replace an earlier folder of ours, all of it.

    Yields
    ------
    Path
        A new folder beside ``path``.
    """
    check_output(path, overwrite)
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            earlier = path.with_name(f".{path.name}.{os.getpid()}.earlier")
            path.rename(earlier)
            partial.rename(path)
            shutil.rmtree(earlier)
        else:
            partial.rename(path)
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(partial)
