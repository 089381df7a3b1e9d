"""Readers of trajectory files, by a registry that one decorator extends.

A reader says what is in a file, in Å and ps, and how it is known: positions in the file's
precision, cells as they are stored, times or steps, names and elements. What to make of it is
decided elsewhere: `graphkoopman.read_trajectory` compares it with the topology and with itself.
"""

from graphkoopman.trajectories.readers._contents import (
    Atoms,
    Contents,
    FileFormatError as FileFormatError,
    FrameBlock,
    Structure as Structure,
)
from graphkoopman.trajectories.readers._registry import READERS, Reader, find_reader, reader

# the readers register themselves; later ones come first where two know a name
from graphkoopman.trajectories.readers import (  # isort: skip
    _ase_formats,
    _lammps_data,
    _history,
    _mdanalysis_formats,
    _mdtraj_formats,
    _mdcrd,
    _netcdf,
    _dcd,
    _xtc,
    _gro,
    _pdb,
    _xyz,
    _vasprun,
    _xdatcar,
    _lammps,
)
from graphkoopman.trajectories.readers._topology import load_structure

__all__ = [
    "Atoms",
    "Contents",
    "FrameBlock",
    "reader",
]
