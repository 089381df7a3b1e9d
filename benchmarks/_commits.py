"""Sources of an earlier commit, to compare with: :func:`extract`, :data:`ROOT`."""

import io
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def extract(commit: str, folder: Path, *packages: str) -> None:
    """Put packages of a commit of this repository into a folder.

    Raises
    ------
    CalledProcessError
        If the commit, or one of the packages in it, is not known; git says which.
    """
    words = ["git", "archive", commit, *packages]
    archive = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
