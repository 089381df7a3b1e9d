"""Trajectories that the tutorials read: `load_example`, `Example`.

Whole ones come from a folder, the user's cache or their archive; where none of them has them, a
short sample in the package stands in, so that everything that reads them runs anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphkoopman.datasets._checksums import ARGYRODITE_COMMIT, ARGYRODITE_SHA256

if TYPE_CHECKING:
    from graphkoopman.trajectories import Trajectory

VARIABLE = "GRAPHKOOPMAN_DATA"
SAMPLES = Path(__file__).parent / "samples"
ARGYRODITE = (
    "https://raw.githubusercontent.com/bjmorgan/data_argyrodite_disorder/"
    f"{ARGYRODITE_COMMIT}/data/{{crystal}}/{{disorder}}/run{{run}}/actual_XDATCAR.gz"
)
CONNECT_TIMEOUT = 10.0  # s
NM_TO_ANGSTROM = 10.0


class _System(NamedTuple):
    """Files of one example below the folder of the data, and how they are read."""

    files: tuple[str, ...]
    topology: str | None = None
    settings: Mapping[str, Any] = {}
    labels: tuple[str, ...] = ()  # arrays of an npz beside its trajectory


def _argyrodite(name: str) -> _System:
    files = sorted(file for file in ARGYRODITE_SHA256 if file.startswith(f"{name}_run"))
    return _System(tuple(f"argyrodite/{file}" for file in files), settings={"timestep": 0.1})


SYSTEMS = {
    name: _argyrodite(name)
    for name in (f"Li6PS5{halide}_{share}p" for halide in ("Cl", "I") for share in (0, 50, 100))
} | {
    "peo_litfsi": _System(
        ("md/peo_litfsi.npz", "md/peo_litfsi_seed8.npz"), topology="md/peo_litfsi.pdb"
    ),
    "si_sw": _System(("md/si_sw.npz",), labels=("si_index", "is_solid")),
    "siau": _System(("md/siau.npz",), labels=("si_index", "is_solid")),
    # the file says 1 ps per frame and means 0.04
    "water": _System(
        ("md/water.xtc",),
        topology="md/water.pdb",
        settings={"timestep": 0.04, "ignore_times": True, "stride": 5},
    ),
}


@dataclass(frozen=True, eq=False)
class Example:
    """Trajectories of one system and what is known of them.

    Attributes
    ----------
    name : str
        See `load_example`.
    trajectories : list of Trajectory
        One per file; those of the argyrodites are consecutive pieces of one run.
    origin : str
        Where they come from, in words.
    is_sample : bool
        Whether these are the short ones of the package.
    labels : dict of str to ndarray
        What an analysis of the positions found, for comparison: of the silicon interfaces
        ``"is_solid"`` (n_frames, n_silicon) and ``"si_index"`` (n_silicon,), the atoms.
    """

    name: str
    trajectories: list[Trajectory] = field(repr=False)
    origin: str
    is_sample: bool
    labels: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return sum(map(len, self.trajectories))

    def __str__(self) -> str:
        runs = self.trajectories
        files = f"{len(runs)} trajectories" if len(runs) > 1 else "a trajectory"
        return (
            f"{self.name}: {files} of {len(self)} frames of {runs[0].timestep:g} ps, "
            f"{runs[0].n_atoms} atoms, from {self.origin}"
        )


def load_example(
    name: str, *, folder: str | os.PathLike[str] | None = None, sample: bool = False
) -> Example:
    """Trajectories of a system that the tutorials look at.

    They are looked for in ``folder`` or the one that the environment variable
    ``GRAPHKOOPMAN_DATA`` names, in the user's cache, and in the archive that published them, in
    this order. Where none has them, a short sample that comes with the package is returned;
    ``print(example)`` says which it was.

    Parameters
    ----------
    name : str
        "Li6PS5Cl_0p", "Li6PS5Cl_50p", "Li6PS5Cl_100p" and the same of "Li6PS5I": ab-initio runs of
        superionic argyrodites with 0, 50 and 100 % of the halide on sites of sulphur. "peo_litfsi":
        two runs of a polymer electrolyte. "si_sw" and "siau": silicon between crystal and melt,
        pure and with gold. "water": 216 molecules of SPC/E.
    folder : path-like or None
        With the subfolders ``argyrodite`` and ``md``; None takes that of the environment.
    sample : bool
        True takes the short sample, whatever else there is.

    Returns
    -------
    example : Example

    Raises
    ------
    ValueError
        For an unknown name.
    FileNotFoundError
        For a ``folder`` that does not exist, or where nothing has the files and there is no sample
        ("siau" and the iodides).

    References
    ----------
    Argyrodites: B. J. Morgan, data_argyrodite_disorder, MIT licence,
    https://github.com/bjmorgan/data_argyrodite_disorder. All others were simulated for this
    package.

    Examples
    --------
    >>> from graphkoopman.datasets import load_example
    >>> example = load_example("water", sample=True)
    >>> print(example)
    water: a trajectory of 120 frames of 0.2 ps, 648 atoms, from the samples of the package
    """
    if name not in SYSTEMS:
        raise ValueError(f"name must be one of {', '.join(SYSTEMS)}, got {name!r}")
    if folder is not None and not Path(folder).is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    if sample:
        return _sample(name, "the samples of the package")
    given = folder if folder is not None else os.environ.get(VARIABLE)
    cache = _cache()
    places = [
        (Path(path), words)
        for path, words in (
            (given, "the given folder" if folder is not None else f"the folder in {VARIABLE}"),
            (cache, "the cache"),
        )
        if path
    ]
    system = SYSTEMS[name]
    for path, words in places:
        if all((path / file).is_file() for file in system.files):
            return _whole(name, path, words)
    reason = _download(system.files, cache)
    if reason is None and cache is not None:
        return _whole(name, cache, "the archive")
    return _sample(name, f"the samples of the package ({reason}; {VARIABLE} can name a folder)")


def _whole(name: str, folder: Path, origin: str) -> Example:
    from graphkoopman.trajectories import read_trajectory

    system = SYSTEMS[name]
    top = None if system.topology is None else folder / system.topology
    runs = [read_trajectory(folder / file, top=top, **system.settings) for file in system.files]
    labels = {}
    if system.labels:
        with np.load(folder / system.files[0]) as archive:
            labels = {label: archive[label] for label in system.labels}
    return Example(name, runs, origin, False, labels)


def _sample(name: str, origin: str) -> Example:
    import mdtraj as md

    from graphkoopman.trajectories import Trajectory

    path = SAMPLES / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"{name} is neither in a folder nor to be downloaded, and has no sample; put its files "
            f"({', '.join(SYSTEMS[name].files)}) below a folder named by {VARIABLE}"
        )
    with np.load(path) as archive:
        arrays = dict(archive)
    topology = SAMPLES / f"{name}.pdb.gz"
    common = {
        "cell": arrays.pop("cell"),
        "species": arrays.pop("species"),
        "timestep": float(arrays.pop("timestep")),
        "targets": arrays.pop("targets", None),
        "topology": md.load_topology(topology) if topology.is_file() else None,
    }
    runs = []
    for file in sorted(SAMPLES.glob(f"{name}_[0-9].xtc")):
        with md.open(str(file)) as xtc:
            runs.append(Trajectory(NM_TO_ANGSTROM * xtc.read()[0], **common))
    return Example(name, runs, origin, True, arrays)


def _cache() -> Path | None:
    try:
        import pooch
    except ImportError:
        return None
    return Path(pooch.os_cache("graphkoopman"))


def _download(files: tuple[str, ...], cache: Path | None) -> str | None:
    """Bring published files into the cache; what is in the way, in words, or None."""
    if not all(Path(file).name in ARGYRODITE_SHA256 for file in files):
        return "not published"
    if cache is None:
        return "pooch, which downloads, is not installed"
    import pooch

    for file in files:
        target = cache / file
        crystal, disorder, run = re.split(r"_run|_|\.", target.name)[:3]
        try:
            pooch.retrieve(
                ARGYRODITE.format(crystal=crystal, disorder=disorder, run=run),
                known_hash=f"sha256:{ARGYRODITE_SHA256[target.name]}",
                fname=target.name,
                path=target.parent,
                downloader=pooch.HTTPDownloader(timeout=CONNECT_TIMEOUT),
            )
        except (OSError, ValueError) as error:  # no network; another file than the one expected
            return f"no download: {type(error).__name__}"
    return None
