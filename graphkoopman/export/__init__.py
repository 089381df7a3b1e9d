"""States for other programs: every atom's state and probabilities in every frame.

:func:`write_states` writes extended XYZ (OVITO, ASE), LAMMPS dumps (OVITO, VMD), PDB (VMD, PyMOL,
ChimeraX) and chemiscope datasets, frame by frame, so that runs of any length fit.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.export._write import FORMATS, write_states
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "write_states",
]
