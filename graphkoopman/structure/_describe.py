"""What tells each state from the others, in numbers and in words: `describe_states`."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, export_text

from graphkoopman.checks import check_integer
from graphkoopman.probabilities import ProbabilitiesLike
from graphkoopman.structure._blocks import Division, divide, ratio_interval
from graphkoopman.structure._charge import atom_charges
from graphkoopman.structure._inputs import StructureRun, check_runs, warn_empty_states
from graphkoopman.structure._order_parameters import (
    AXES,
    OrderParameter,
    Samples,
    order_parameters,
    shells_of,
    slab_axis,
)
from graphkoopman.structure._rules import (
    Rule,
    jackknife_interval,
    rule_of_all_states,
    rule_of_state,
)
from graphkoopman.structure._shells import block_populations
from graphkoopman.tables import Tabular, interval_columns
from graphkoopman.trajectories import TargetsLike, TrajectoriesLike
from graphkoopman.uncertainty import with_refits

__all__ = ["StateDescription", "describe_states"]

Array = NDArray[np.float64]

# Landis and Koch's names: agreement is slight below 0.2, substantial from 0.6 on.
SLIGHT, SUBSTANTIAL = 0.2, 0.6
DEFAULT_BLOCKS = 20  # rules need them for folds
DEPTH = 3


@dataclass(frozen=True, eq=False)
class StateDescription(Tabular):
    """What tells each state from the others.

    Intervals are 95 %, low and high on the last axis.

    Attributes
    ----------
    parameters : tuple of n_parameters OrderParameter
        Name, unit and kind of each number.
    mean : ndarray of shape (n_states, n_parameters)
        Mean of every order parameter in each state.
    mean_interval : ndarray of shape (n_states, n_parameters, 2)
    effect : ndarray of shape (n_states, n_parameters)
        Mean in the state minus mean in all others, over the standard deviation within them
        (Cohen's d).
    effect_interval : ndarray of shape (n_states, n_parameters, 2)
    populations : ndarray of shape (n_states,)
    populations_interval : ndarray of shape (n_states, 2)
    rules : tuple of n_states Rule
        The best rule of one or two numbers for each state, with its cross-validated κ.
    kappa : float
        Cohen's κ of one tree of depth three for all states, on time that it has not seen.
    kappa_interval : ndarray of shape (2,)
    confusion : ndarray of shape (n_states, n_states)
        Samples by learned state (rows) and the tree's (columns), on unseen time.
    tree : DecisionTreeClassifier or None
        That tree, fitted to all samples; None without order parameters.
    radii : dict of str to float
        First minimum of the radial distribution of each species, Å; NaN without a shell.
    n_samples, n_blocks : int
        Targets times frames looked at, and the time blocks that intervals come from.
    """

    figure = "plot_state_description"

    parameters: tuple[OrderParameter, ...]
    mean: Array
    mean_interval: Array
    effect: Array
    effect_interval: Array
    populations: Array
    populations_interval: Array
    rules: tuple[Rule, ...]
    kappa: float
    kappa_interval: Array
    confusion: Array
    tree: DecisionTreeClassifier | None
    radii: dict[str, float]
    n_samples: int
    n_blocks: int

    @property
    def sentences(self) -> tuple[str, ...]:
        """What each state is, in words, one sentence per state."""
        return tuple(
            _sentence(state, float(self.populations[state]), rule)
            for state, rule in enumerate(self.rules)
        )

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.populations)

    def __str__(self) -> str:
        return "\n".join([*self.sentences, self.summary])

    def __repr__(self) -> str:
        return (
            f"StateDescription({self.n_states} states, {len(self.parameters)} order parameters, "
            f"kappa={self.kappa:.2f})"
        )

    @property
    def summary(self) -> str:
        """How well plain order parameters reproduce all states, in one sentence."""
        if self.tree is None:
            return "There are no surroundings whose order parameters could describe the states."
        low, high = self.kappa_interval
        return (
            f"A decision tree of depth {self.tree.get_depth()} on {len(self.parameters)} plain "
            f"order parameters reproduces the states with κ = {self.kappa:.2f} "
            f"[{low:.2f}, {high:.2f}] on time that it has not seen."
        )

    def largest(self, state: int, n: int = 3) -> list[int]:
        """Order parameters with the largest certain effect, by their number.

        Parameters
        ----------
        state : int
        n : int
            At most so many; fewer where fewer intervals leave out zero.
        """
        low, high = self.effect_interval[state].T
        certain = np.where(low > 0.0, low, np.where(high < 0.0, -high, 0.0))
        certain = np.where(np.isfinite(certain), certain, 0.0)
        order = np.argsort(-certain, kind="stable")[:n]
        return [int(i) for i in order if certain[i] > 0.0]

    def tree_text(self) -> str:
        """The tree for all states as indented text."""
        if self.tree is None:
            return ""
        return str(export_text(self.tree, feature_names=[p.name for p in self.parameters]))

    def table(self) -> dict[str, Any]:
        """One row per state and order parameter."""
        return {
            "state": np.arange(self.n_states)[:, None],
            "order parameter": np.array([p.name for p in self.parameters], dtype=object),
            "unit": np.array([p.unit for p in self.parameters], dtype=object),
            **interval_columns("mean", self.mean, self.mean_interval),
            **interval_columns("effect", self.effect, self.effect_interval),
        }

    def rules_table(self) -> dict[str, Any]:
        """One row per state: its population and the rule that reproduces it."""
        rules = self.rules
        return {
            "state": np.arange(self.n_states),
            **interval_columns("population", self.populations, self.populations_interval),
            "rule": np.array([rule.text for rule in rules], dtype=object),
            **interval_columns(
                "kappa",
                np.array([rule.kappa for rule in rules]),
                np.array([rule.kappa_interval for rule in rules]),
            ),
            "recall": np.array([rule.recall for rule in rules]),
            "precision": np.array([rule.precision for rule in rules]),
        }

    def _repr_html_(self) -> str:
        sentences = "".join(f"<li>{html.escape(text)}</li>" for text in self.sentences)
        return f"<ul>{sentences}</ul><p>{html.escape(self.summary)}</p>"


@with_refits
def describe_states(
    trajs: TrajectoriesLike,
    probs: ProbabilitiesLike,
    targets: TargetsLike,
    *,
    species: Any = None,
    charges: Any = None,
    axis: int | str | None = "auto",
    observables: Mapping[str, Any] | None = None,
    n_blocks: int = DEFAULT_BLOCKS,
    max_samples: int = 20_000,
) -> StateDescription:
    r"""Describe each state by plain order parameters, found from the data.

    Order parameters of every target: neighbours of each species within the first minimum of its
    radial distribution, distance of its nearest atom; for species in direct contact the asymmetry
    of their shell, :math:`|\sum_j \hat r_j| / n`, and Steinhardt's :math:`q_3` of the 4 and
    :math:`q_6` of the 12 nearest; radius of gyration and largest inner distance of molecules;
    with ``charges`` the charge inside the first shells; the position along the long axis of a slab.
    Shallow decision trees on them, tested on stretches of time that they have not seen, say how
    well they reproduce the learned states (Cohen's κ).

    Parameters
    ----------
    trajs, probs, targets
        As for `state_rdf`; the trajectories need no cell.
    species : None, str, int, sequence of these, or mapping
        As for `state_rdf`. By default elements; told apart by residue name where a topology has
        two to six names that share an element, such as "O of PEO" and "O of TFS".
    charges : array-like of shape (n_atoms,), list of these, or None
        Charge of every atom, e.
    axis : {"auto", "a", "b", "c", 0, 1, 2} or None
        Cell vector along which the position counts; "auto" takes the longest where the cell is at
        least 1.5 times as high along it as along the others.
    observables : mapping of str to array or list of arrays, or None
        Order parameters of your own by name, (n_frames, n_targets) per trajectory.
    n_blocks : int
        Time blocks for intervals and cross-validation, over all trajectories.
    max_samples : int
        Targets times frames that are looked at, evenly spread (about).

    Returns
    -------
    StateDescription
        ``print`` it for its sentences.

    Raises
    ------
    ValueError
        For inputs that do not match.

    Warns
    -----
    EmptyStateWarning
        If a state has no weight; its averages are NaN.

    Notes
    -----
    Means weigh samples with the probabilities of the states; rules, which have to decide, take
    every sample's most probable state. A sentence calls a rule one below a κ of 0.6 "in part", and
    says that nothing plain explains a state where the lower limit of κ is below 0.2 and κ below
    0.4 (Landis and Koch's "slight" and "fair").

    Neighbours are looked for up to 8 Å, periodic images in small cells included; a nearest distance
    of 8 Å stands for none.

    References
    ----------
    .. [1] Landis and Koch, Biometrics 33, 159 (1977).
    .. [2] Steinhardt, Nelson and Ronchetti, Phys. Rev. B 28, 784 (1983).

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.datasets import chain_rates, make_hopping
    >>> from graphkoopman.structure import describe_states
    >>> data = make_hopping(chain_rates(2, slowest=20.0), 400, random_state=0)
    >>> probs = np.eye(2)[data.labels]
    >>> description = describe_states(data.trajectory, probs, None)
    >>> [rule.kappa > 0.9 for rule in description.rules]
    [True, True]
    """
    runs = check_runs(trajs, probs, targets)
    max_samples = check_integer(max_samples, "max_samples", 100)
    vector = _axis(runs, axis)
    given = _observables(runs, observables)
    per_atom = None if charges is None else atom_charges(runs, charges)
    blocks = divide(runs, "auto", n_blocks)
    shells = shells_of(runs, blocks, species)
    samples = order_parameters(
        runs, blocks, shells, charges=per_atom, axis=vector, given=given, max_samples=max_samples
    )
    weights, sizes = block_populations(runs, blocks)
    warn_empty_states(weights.sum(axis=0))
    populations, populations_interval = ratio_interval(
        weights, sizes[:, None], blocks, is_slow=True
    )
    sums = _block_sums(samples, len(blocks))
    mean, mean_interval = ratio_interval(sums[1], sums[0], blocks, lowest=-np.inf)
    effect, effect_interval = _effects(sums, blocks)
    n_states = len(populations)
    tree, kappa, kappa_interval, confusion = (
        rule_of_all_states(samples, DEPTH)
        if samples.parameters
        else (None, 0.0, np.array([-np.inf, np.inf]), np.zeros((n_states, n_states)))
    )
    rules = tuple(rule_of_state(samples, state) for state in range(n_states))
    return StateDescription(
        parameters=samples.parameters,
        mean=mean,
        mean_interval=mean_interval,
        effect=effect,
        effect_interval=effect_interval,
        populations=populations,
        populations_interval=np.minimum(populations_interval, 1.0),
        rules=rules,
        kappa=kappa,
        kappa_interval=kappa_interval,
        confusion=confusion,
        tree=tree,
        radii={}
        if shells is None
        else dict(zip(shells.names, map(float, shells.radii), strict=True)),
        n_samples=len(samples.values),
        n_blocks=blocks.n_blocks,
    )


def _block_sums(samples: Samples, n_blocks: int) -> Array:
    """Σp, Σpx and Σpx² of every block, (3, n_blocks, n_states, n_parameters)."""
    powers = np.stack([np.ones_like(samples.values), samples.values, samples.values**2])
    return np.stack(
        [
            np.einsum(
                "sn,psf->pnf", samples.probs[samples.block == b], powers[:, samples.block == b]
            )
            for b in range(n_blocks)
        ],
        axis=1,
    )


def _effects(sums: Array, blocks: Division) -> tuple[Array, Array]:
    """Standardised differences with their intervals, (n_states, n_parameters, 2)."""
    # (3, n_states, n_parameters) of all data, then without each block
    pooled = sums.sum(axis=1)
    estimate = _standardised(pooled)
    replicates = np.stack([_standardised(pooled - sums[:, b]) for b in range(sums.shape[1])])
    return estimate, jackknife_interval(estimate, replicates, sums[0], blocks)


def _standardised(sums: Array) -> Array:
    """Cohen's d of each state against all others."""
    others = sums.sum(axis=1, keepdims=True) - sums
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, other_mean = sums[1] / sums[0], others[1] / others[0]
        within = sums[2] - sums[0] * mean**2 + others[2] - others[0] * other_mean**2
        scale = np.sqrt(np.maximum(within, 0.0) / (sums[0] + others[0]))
        difference = mean - other_mean
        effect = difference / scale
    # a number that is the same everywhere tells nothing
    constant = np.abs(difference) <= 1e-9 * (1.0 + np.abs(mean))
    return np.where(constant, 0.0, effect)


def _sentence(state: int, population: float, rule: Rule) -> str:
    start = f"state {state} ({population:.0%})" if population >= 0.005 else (
        f"state {state} ({population:.1%})"
    )  # fmt: skip
    low, high = rule.kappa_interval
    certainty = f"κ = {rule.kappa:.2f} [{low:.2f}, {high:.2f}]"
    if not rule.text or (low < SLIGHT and rule.kappa < 0.5 * (SLIGHT + SUBSTANTIAL)):
        return f"{start}: no plain order parameter tells it from the others ({certainty})"
    numbers = "one number" if rule.n_numbers == 1 else f"{rule.n_numbers} numbers"
    numbers = numbers.replace("2", "two").replace("3", "three")
    verb = "gives" if rule.kappa >= SUBSTANTIAL else "explains it in part: it gives"
    return (
        f"{start}: {rule.text}; a rule of {numbers} {verb} {rule.recall:.0%} of it, and "
        f"{rule.precision:.0%} of what it picks is this state ({certainty})"
    )


def _axis(runs: Sequence[StructureRun], axis: Any) -> int | None:
    if axis is None:
        return None
    if axis == "auto":
        return slab_axis(runs)
    number = AXES.find(axis) if isinstance(axis, str) and len(axis) == 1 else axis
    if isinstance(number, bool) or number not in (0, 1, 2):
        raise ValueError(f'axis must be "auto", None, 0, 1, 2 or "a", "b", "c", got {axis!r}')
    if any(run.trajectory.cell is None for run in runs):
        raise ValueError("axis needs trajectories with a cell, got one without; set axis=None")
    return int(number)


def _observables(
    runs: Sequence[StructureRun], observables: Mapping[str, Any] | None
) -> dict[str, list[Array]]:
    given = {}
    for name, arrays in (observables or {}).items():
        parts = list(arrays) if isinstance(arrays, list | tuple) else [arrays]
        shapes = [np.shape(part) for part in parts]
        expected = [run.probs.shape[:2] for run in runs]
        if shapes != expected:
            raise ValueError(
                f"observables[{name!r}] must have shapes (n_frames, n_targets) = {expected}, one "
                f"array per trajectory, got {shapes}"
            )
        given[str(name)] = [np.asarray(part, dtype=np.float64) for part in parts]
        if not all(np.isfinite(part).all() for part in given[str(name)]):
            raise ValueError(f"observables[{name!r}] must be finite; leave such frames out")
    return given
