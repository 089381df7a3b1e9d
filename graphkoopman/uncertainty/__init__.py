"""What every interval rests on: units, blocks of time, what their scatter shows, quantiles.

Estimates of `koopman`, `structure` and `transport` resample different sums, but share one
vocabulary of independent units (`UNITS`), one rule that cuts runs into blocks of time, one
correlation time of the states, and Student's t for the degrees of freedom that are left. Averages
that forget sooner than the states are told by pieces of blocks (`error_of_mean`).
"""

from graphkoopman.uncertainty._blocks import Block, cut_blocks
from graphkoopman.uncertainty._correlation import correlation_time
from graphkoopman.uncertainty._pieces import (
    cut_pieces,
    error_of_mean,
    jackknife_influence,
    piece_scatter,
)
from graphkoopman.uncertainty._refits import (
    probability_sets,
    spread_of_refits as spread_of_refits,
    with_refits,
)
from graphkoopman.uncertainty._scatter import Scatter, block_scatter
from graphkoopman.uncertainty._student import CONFIDENCE, effective_units, t_quantile
from graphkoopman.uncertainty._units import UNITS, check_unit, unit_labels as unit_labels

__all__: list[str] = []
