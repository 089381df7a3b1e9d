"""Trajectory files and graphs that the arguments of a command ask for."""

import argparse
import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphkoopman.cli._arguments import DEFAULT_NEIGHBORS
from graphkoopman.graphs import GraphFeaturizer
from graphkoopman.trajectories import (
    Seam,
    Trajectory,
    concatenate,
    find_seams,
    group_runs,
    inspect,
    read_trajectory,
    species_labels,
)

MOST_MEMORY = 1e6  # GiB
SHOWN = 3  # files that a run is named by
LOOKED_AT = 100  # frames, for what is said in a line


def featurizer_of(options: argparse.Namespace, n_hops: int) -> GraphFeaturizer:
    """Featurizer of the graphs asked for; both kinds at once are an error."""
    if options.neighbors is not None and options.cutoff is not None:
        raise ValueError("--neighbors and --cutoff exclude each other, give one of them")
    if options.memory is not None and not 0 < options.memory < MOST_MEMORY:
        raise ValueError(f"--memory must be a positive number of GiB, got {options.memory}")
    if options.memory is not None and options.cache is None:
        raise ValueError("--memory needs --cache, a folder for what does not fit")
    apply_targets(options)
    neighbors = DEFAULT_NEIGHBORS if options.neighbors is None else options.neighbors
    return GraphFeaturizer(
        targets=options.targets,
        n_neighbors=None if options.cutoff is not None else neighbors,
        cutoff=options.cutoff,
        n_per_species=options.per_species or 0,
        n_hops=n_hops,
        species_labels=labels_of(options),
        cache_dir=options.cache,
        memory_budget=None if options.memory is None else max(1, int(options.memory * 2**30)),
        n_jobs=options.jobs,
        device=getattr(options, "device", "cpu"),  # of the commands that train
    )


def apply_targets(options: argparse.Namespace) -> None:
    """Spell molecules as targets."""
    if options.molecules is None:
        return
    spelled = f"molecules {options.molecules}"
    if options.targets not in (None, spelled):
        raise ValueError("--targets and --molecules exclude each other, give one of them")
    options.targets = spelled


def labels_of(options: argparse.Namespace) -> Callable[[Trajectory], NDArray[np.str_]] | None:
    """Node types of the atoms of a trajectory, as --species-labels says."""
    texts = options.species_labels
    if texts is None:
        return None
    if len(texts) == 1 and Path(texts[0]).is_file():
        words = Path(texts[0]).read_text().split()
        return functools.partial(_labels_of_file, texts[0], np.array(words))
    pairs = [text.partition("=") for text in texts]
    if any(not label.strip() or not selection.strip() for label, _, selection in pairs):
        raise ValueError(
            "--species-labels must be a file, or pairs such as 'Oe=resname PEO and element O', got "
            f"{' '.join(texts)!r}"
        )
    chosen = {label.strip(): selection.strip() for label, _, selection in pairs}
    return functools.partial(species_labels, selections=chosen)


def _labels_of_file(
    name: str, labels: NDArray[np.str_], trajectory: Trajectory
) -> NDArray[np.str_]:
    if len(labels) != trajectory.n_atoms:
        raise ValueError(
            f"--species-labels must hold one label for each of the {trajectory.n_atoms} atoms, got "
            f"{len(labels)} in {name}"
        )
    return labels


def read_inputs(options: argparse.Namespace, *, inspected: bool = True) -> list[Trajectory]:
    """Read every trajectory file, and join those that are consecutive pieces of one run.

    Says in a line for each run what was understood, and sets ``options.runs``, the names of the
    runs. With a cache, positions are mapped from there.
    """
    for name, belongs in (("cell", _is_of_cell), ("elements", _is_pair)):
        _give_files_back(options, name, belongs)
    pieces = _read_all(options)
    seams = find_seams(pieces)
    for (one, other), seam in zip(itertools.pairwise(options.trajectories), seams, strict=True):
        if options.join is None and not seam.follows and np.isfinite(seam.across):
            say(options, _apart(str(one), str(other), seam))
    groups = group_runs(pieces, [_joined(seam, options.join) for seam in seams])
    files, runs, options.runs = iter(options.trajectories), [], []
    for number, (members, between) in enumerate(groups):
        names = [str(next(files)) for _ in members]
        cached = _positions_file(options.cache, len(pieces) + number, Path(names[0]))
        runs.append(concatenate(members, between, cached if len(members) > 1 else None))
        short = names if len(names) < SHOWN else [names[0], "…", names[-1]]
        options.runs.append(" + ".join(short))
        if len(members) > 1:
            say(options, _together(names, between))
        if inspected:
            say(options, f"{options.runs[-1]}: {inspect(runs[-1], max_frames=LOOKED_AT).line()}")
    return runs


def say(options: argparse.Namespace, text: str) -> None:
    """Print, by the console of the command where it has one."""
    console = getattr(options, "console", None)
    if console is None:
        print(text)
    else:
        console.say(text)


def _read_all(options: argparse.Namespace) -> list[Trajectory]:
    """Every file by itself, those that go on from the one before at an even distance to it."""
    pieces: list[Trajectory] = []
    for number, path in enumerate(options.trajectories):
        read = functools.partial(_read, options, number, Path(path))
        if not pieces or options.join is False:
            pieces.append(read(skip=options.skip))
            continue
        piece = read(skip=0)
        follows = options.join or find_seams([pieces[-1], piece])[0].follows
        source = pieces[-1].source
        # frames after the last that a stride kept of the file before
        after = 0 if source is None else source.n_after
        skip = options.stride - 1 - after if follows else options.skip
        pieces.append(read(skip=skip) if skip else piece)
    return pieces


def _read(options: argparse.Namespace, number: int, path: Path, skip: int) -> Trajectory:
    return read_trajectory(
        path,
        top=options.top,
        timestep=options.timestep,
        cell=None if options.cell is None else " ".join(options.cell),
        stride=options.stride,
        skip=skip,
        elements=_pairs(options.elements, "--elements"),
        exclude=options.exclude,
        format=options.input_format,
        ignore_times=options.ignore_times,
        unwrapped=True if options.unwrapped else None,
        positions_file=_positions_file(options.cache, number, path),
    )


def _joined(seam: Seam, join: bool | None) -> Seam:
    return seam if join is None else dataclasses.replace(seam, follows=join)


def _apart(one: str, other: str, seam: Seam) -> str:
    """Why two files are not joined."""
    moved = f"{seam.across:.2g} Å between them, and at most {seam.inside:.2g} Å in a frame"
    if seam.follows is None:
        return (
            f"whether {other} continues {one} cannot be told ({seam.reason}: {moved}): taken as "
            "independent runs, which --join joins"
        )
    return f"{other} does not continue {one}: {seam.reason} ({moved})"


def _together(names: Sequence[str], seams: Sequence[Seam]) -> str:
    moved = [seam for seam in seams if not np.isnan(seam.across)]
    how = ""
    if moved:
        worst = max(moved, key=lambda seam: seam.across / max(seam.inside, 1e-9))
        how = (
            f": atoms move {worst.across:.2g} Å at most from one to the next, and "
            f"{worst.inside:.2g} Å in a frame"
        )
    again = sum(seam.repeated for seam in seams)
    more = f"; {again} frames written twice are kept once" if again else ""
    return f"joined {len(names)} files into one run{how}{more} (--no-join keeps them apart)"


def _pairs(texts: Sequence[str] | None, option: str) -> dict[str, str] | None:
    """NAME=VALUE pairs, one in each text or several between commas."""
    if texts is None:
        return None
    words = [word for text in texts for word in text.split(",") if word.strip()]
    pairs = [word.partition("=") for word in words]
    if not pairs or any(not key.strip() or not value.strip() for key, _, value in pairs):
        raise ValueError(f"{option} must be pairs such as OW=O, got {' '.join(texts)!r}")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _give_files_back(
    options: argparse.Namespace, name: str, belongs: Callable[[str], bool]
) -> None:
    """Files that stand behind an option of several words, as a shell user may write them."""
    words = getattr(options, name)
    if words is None:
        return
    n_own = next((k for k, word in enumerate(words) if not belongs(word)), len(words))
    if 0 < n_own < len(words) and all(Path(word).exists() for word in words[n_own:]):
        setattr(options, name, words[:n_own])
        options.trajectories = [*options.trajectories, *words[n_own:]]


def _is_of_cell(word: str) -> bool:
    return re.fullmatch(r"none|[-+.,;\s\deE]+", word) is not None


def _is_pair(word: str) -> bool:
    return "=" in word


def _positions_file(cache: Path | None, number: int, path: Path) -> Path | None:
    # an npz is read whole
    if cache is None or path.suffix.lower() == ".npz":
        return None
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"{number}-{path.name}.npy"
