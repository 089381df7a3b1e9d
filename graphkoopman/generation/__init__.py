"""What a model predicts: displacements at long times, sequences of states, structures.

Times are in ps, lengths in Å, lag times in frames; every frame that is generated is one lag time
after the one before.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphkoopman.generation._conduction import (
        PredictedConduction as PredictedConduction,
        predict_conduction,
    )
    from graphkoopman.generation._decoder import EnvironmentDecoder
    from graphkoopman.generation._displacements import (
        PredictedMSD as PredictedMSD,
        predict_displacements,
    )
    from graphkoopman.generation._rewire import Rewired as Rewired, rewire
    from graphkoopman.generation._state_memory import propagators, transfer_tensors
    from graphkoopman.generation._states import sample_states
    from graphkoopman.generation._warnings import ClosureWarning as ClosureWarning
else:
    from graphkoopman._lazy import attach

    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "EnvironmentDecoder",
    "predict_conduction",
    "predict_displacements",
    "propagators",
    "rewire",
    "sample_states",
    "transfer_tensors",
]
