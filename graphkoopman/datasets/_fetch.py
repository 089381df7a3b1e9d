"""Trajectories of the paper, from the Materials Cloud archive: `fetch_gdynet`."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from graphkoopman._optional import missing
from graphkoopman.storage import replacing

__all__ = ["GDYNET_TIMESTEPS", "fetch_gdynet"]

DOI = "10.24435/materialscloud:2019.0017/v1"
RECORD = "https://archive.materialscloud.org/records/gbzya-fbr45/files"
FILES = {
    "toy": ("li2s-traj.npz",),
    "si_au": ("siau-traj.npz",),
    "peo_litfsi": tuple(f"peo-traj-{letter}.npz" for letter in "abcde"),
}
GDYNET_TIMESTEPS = {"toy": 0.1, "si_au": 20.0}
"""Picoseconds per frame where the paper states them; the files carry no time."""

CHUNK = 1 << 14  # bytes; at most so many are lost where a transfer breaks off
TIMEOUT = 30.0  # s without a byte


def fetch_gdynet(
    name: str, *, cache_dir: str | os.PathLike[str] | None = None, url: str | None = None
) -> list[Path]:
    """Download the trajectories of one of the paper's systems, once.

    Parameters
    ----------
    name : {"toy", "si_au", "peo_litfsi"}
        Lithium in an FCC lattice of sulphur; a silicon and gold interface; five runs of a polymer
        electrolyte.
    cache_dir : path or None
        Folder for the files; None takes the user's cache, under ``graphkoopman/gdynet``. Files put
        there by hand are taken as they are.
    url : str or None
        Address of a folder with the same files, in place of the archive.

    Returns
    -------
    list of Path
        For `graphkoopman.load_gdynet_npz`, one at a time, since runs of the electrolyte are large.

    Raises
    ------
    ValueError
        For an unknown name, or a file that differs from the one downloaded first.
    ConnectionError
        Where a file is neither in the cache nor to be had.
    ImportError
        Without the extra ``fetch``.

    Notes
    -----
    A download that broke off goes on where it stopped. The archive publishes no SHA-256, so the
    checksum of the first complete download is kept beside the file, and a cached file that no
    longer has it is downloaded anew. Files carry no time: pass ``timestep`` to `load_gdynet_npz`,
    0.1 ps for "toy" and 20 ps for "si_au". The paper says of "peo_litfsi" that each run is 80 ns
    long, but not how often it was sampled.

    References
    ----------
    Xie et al., Materials Cloud Archive 2019.0017/v1, doi:10.24435/materialscloud:2019.0017/v1.
    """
    if name not in FILES:
        raise ValueError(f"name must be one of {', '.join(FILES)}, got {name!r}")
    try:
        import pooch
    except ImportError as error:
        raise missing("fetch", "fetch_gdynet") from error
    folder = Path(pooch.os_cache("graphkoopman") / "gdynet" if cache_dir is None else cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    address = (RECORD if url is None else url).rstrip("/")
    return [_fetch(f"{address}/{file}?download=1", folder / file) for file in FILES[name]]


def _fetch(address: str, path: Path) -> Path:
    """The file at ``path``, downloaded unless it is there with the checksum it had at first."""
    import pooch

    record = path.with_name(path.name + ".sha256")
    known = record.read_text().strip() if record.is_file() else None
    try:
        pooch.retrieve(
            address,
            known_hash=None if known is None else f"sha256:{known}",
            fname=path.name,
            path=path.parent,
            downloader=partial(_download, part=path.with_name(path.name + ".part")),
        )
    except ValueError as error:
        raise ValueError(
            f"{address} no longer has the checksum of its first download; delete {record} if the "
            f"archive holds a new version, else download again ({error})"
        ) from error
    if known is None:
        with replacing(record) as file:
            file.write(pooch.file_hash(str(path)).encode() + b"\n")
    return path


def _download(address: str, output: str, _: Any, *, part: Path) -> None:
    """Go on with ``part`` where it ends, and make it ``output`` once it is complete."""
    import requests

    try:
        _append_rest(address, part)
    except requests.RequestException as error:
        kept = part.stat().st_size if part.is_file() else 0
        raise ConnectionError(
            f"could not download {address} ({error}); {kept} bytes are kept and the next call goes "
            f"on from there. Without a network put {part.stem} of doi:{DOI} into {part.parent}"
        ) from error
    os.replace(part, output)


def _append_rest(address: str, part: Path) -> None:
    """Ask for what ``part`` lacks; a server that cannot give a range sends everything anew."""
    import requests

    start = part.stat().st_size if part.is_file() else 0
    # a compressed transfer would count other bytes than those on disk
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as reply:
        if reply.status_code == requests.codes.requested_range_not_satisfiable:
            # nothing lies beyond the end: complete where the sizes agree, foreign otherwise
            if reply.headers.get("Content-Range") == f"bytes */{start}":
                return
            part.unlink()
            raise requests.ConnectionError("an earlier part does not fit this file, it was removed")
        reply.raise_for_status()
        resumed = reply.status_code == requests.codes.partial_content
        with part.open("ab" if resumed else "wb") as file:
            for chunk in reply.iter_content(CHUNK):
                file.write(chunk)
        rest = reply.headers.get("Content-Length")
    size, expected = part.stat().st_size, int(rest or 0) + (start if resumed else 0)
    if rest is not None and size != expected:
        raise requests.ConnectionError(f"it ended after {size} of {expected} bytes")
