"""Rules of few numbers that reproduce learned states: `Rule`, `cross_validated_rules`.

Shallow decision trees on order parameters, tested on time that they have not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier

from graphkoopman.structure._blocks import Division, influence_interval
from graphkoopman.structure._order_parameters import OrderParameter, Samples
from graphkoopman.uncertainty import jackknife_influence

__all__ = ["Rule", "cohens_kappa", "jackknife_interval", "rule_of_all_states", "rule_of_state"]

Array = NDArray[np.float64]

MOST_FOLDS = 5
FEWEST_IN_LEAF = 0.002  # of all samples, and five of them
COUNT_COST = 0.02  # of κ that other neighbours must add to those in direct contact
SHAPE_COST = 0.03  # and distances and shapes to coordination numbers
PLACE_COST = 0.1  # and a place in the cell, which is no local environment, to all others
RARE = 0.35  # population
WORTH_SAYING = 0.1  # share of a state that a further branch must hold to be put into words


@dataclass(frozen=True, eq=False)
class Rule:
    """How far a shallow decision tree reproduces one state, on data that it has not seen.

    Attributes
    ----------
    text : str
        The rule in words; empty if there is none.
    n_numbers : int
        Order parameters in it.
    kappa : float
        Cohen's κ between rule and state: 1 for all alike, 0 for chance.
    kappa_interval : ndarray of shape (2,)
        95 %, jackknife over time blocks.
    recall : float
        Share of the state that the rule finds.
    precision : float
        Share of what the rule picks that is the state.
    """

    text: str
    n_numbers: int
    kappa: float
    kappa_interval: Array
    recall: float
    precision: float


def rule_of_all_states(
    samples: Samples, depth: int
) -> tuple[DecisionTreeClassifier, float, Array, Array]:
    """Tree for all states, its κ with interval, and the confusion matrix of unseen data."""
    labels = samples.probs.argmax(axis=1)
    tree = _tree(samples, depth, None)
    found = _unseen_predictions(tree, samples, labels)
    confusion = _confusions(labels, found, samples, samples.probs.shape[1])
    kappa, interval = _kappa_with_interval(confusion, samples.division)
    return tree.fit(samples.values, labels), kappa, interval, confusion.sum(axis=0)


def rule_of_state(samples: Samples, state: int) -> Rule:
    """The best rule of one or two numbers for one state."""
    inside = (samples.probs.argmax(axis=1) == state).astype(int)
    if not 0 < inside.sum() < len(inside) or not samples.parameters:
        return Rule("", 0, 0.0, np.array([-np.inf, np.inf]), 0.0, 0.0)
    candidates = [
        (*_candidate(samples, inside, columns, depth, weight), cost)
        for cost, columns in _by_plainness(samples.parameters)
        for depth in (1, 2)
        # a rare state has no leaf of its own unless it weighs as much as the rest
        for weight in (None, "balanced")[: 2 if inside.mean() < RARE else 1]
    ]
    kappa, interval, confusion, columns, tree, _ = max(
        candidates, key=lambda entry: entry[0] - entry[-1]
    )
    values = samples.values[:, columns]
    tree = tree.fit(values, inside)
    chosen = [samples.parameters[column] for column in columns]
    text, n_numbers = _in_words(tree, values, inside, chosen)
    picked = confusion[:, 1].sum()
    return Rule(
        text,
        n_numbers,
        kappa,
        interval,
        float(confusion[1, 1] / confusion[1].sum()),
        float(confusion[1, 1] / picked) if picked else 0.0,
    )


def _by_plainness(
    parameters: Sequence[OrderParameter],
) -> list[tuple[float, NDArray[np.int64]]]:
    """Sets of order parameters from plain to less plain, with what they cost in κ."""
    kinds = np.array([parameter.kind for parameter in parameters])
    sets = [
        (0.0, np.flatnonzero([parameter.contact for parameter in parameters])),
        (COUNT_COST, np.flatnonzero(kinds == "count")),
        (SHAPE_COST, np.flatnonzero(kinds != "position")),
        (PLACE_COST, np.arange(len(kinds))),
    ]
    sizes = [len(columns) for _, columns in sets]
    return [entry for i, entry in enumerate(sets) if sizes[i] and sizes[i] not in sizes[:i]]


def _candidate(
    samples: Samples,
    inside: NDArray[np.int64],
    columns: NDArray[np.int64],
    depth: int,
    weight: str | None,
) -> tuple[float, Array, Array, NDArray[np.int64], DecisionTreeClassifier]:
    """κ on unseen time with its interval, confusion, columns and the tree to grow."""
    part = replace(samples, values=samples.values[:, columns])
    tree = _tree(part, depth, weight)
    confusion = _confusions(inside, _unseen_predictions(tree, part, inside), samples, 2)
    kappa = _kappa_with_interval(confusion, samples.division)
    return (*kappa, confusion.sum(axis=0), columns, tree)


def cohens_kappa(confusion: Array) -> Array:
    r"""Cohen's :math:`\kappa = (p_o - p_e) / (1 - p_e)` of confusion matrices.

    Parameters
    ----------
    confusion : ndarray of shape (..., n, n)

    Returns
    -------
    ndarray of shape (...)
        Zero where a single class is all there is.
    """
    total = confusion.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(confusion, axis1=-2, axis2=-1) / total
        chance = (confusion.sum(axis=-1) * confusion.sum(axis=-2)).sum(axis=-1) / total**2
        kappa = (observed - chance) / (1.0 - chance)
    return np.where(chance < 1.0, kappa, 0.0)


def jackknife_interval(
    estimate: Array, replicates: Array, weights: Array, division: Division
) -> Array:
    """95 % interval from estimates without one piece of time each, (..., 2).

    Parameters
    ----------
    estimate : ndarray of shape (...)
    replicates : ndarray of shape (n_pieces, ...)
    weights : ndarray of shape (n_pieces, ...)
        Data of each piece.
    division : Division
        Into these pieces.
    """
    influence = jackknife_influence(estimate, replicates, weights)
    interval = influence_interval(estimate, influence, weights, division)
    return np.where(np.isnan(interval), [-np.inf, np.inf], interval)


def _tree(samples: Samples, depth: int, weight: str | None) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(
        max_depth=depth,
        min_samples_leaf=max(5, int(FEWEST_IN_LEAF * len(samples.values))),
        class_weight=weight,
        random_state=0,  # breaks ties between equal splits
    )


def _unseen_predictions(
    tree: DecisionTreeClassifier, samples: Samples, labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Labels by trees that were grown without the fold; folds are stretches of time."""
    n_blocks = int(samples.block.max()) + 1
    fold = samples.block * min(MOST_FOLDS, n_blocks) // n_blocks
    found = np.empty_like(labels)
    for number in range(fold.max() + 1):
        test = fold == number
        train = ~test if (~test).any() else test
        grown = clone(tree).fit(samples.values[train], labels[train])
        found[test] = grown.predict(samples.values[test])
    return found


def _confusions(
    labels: NDArray[np.int64], found: NDArray[np.int64], samples: Samples, n: int
) -> Array:
    """Counts per piece of time, (n_pieces, n, n)."""
    counts = np.zeros((len(samples.division), n, n))
    np.add.at(counts, (samples.block, labels, found), 1.0)
    return counts


def _kappa_with_interval(confusion: Array, division: Division) -> tuple[float, Array]:
    total = confusion.sum(axis=0)
    estimate = cohens_kappa(total)
    replicates = cohens_kappa(total - confusion)
    interval = jackknife_interval(estimate, replicates, confusion.sum(axis=(1, 2)), division)
    return float(estimate), np.clip(interval, -1.0, 1.0)


def _in_words(
    tree: DecisionTreeClassifier,
    values: Array,
    inside: NDArray[np.int64],
    parameters: Sequence[OrderParameter],
) -> tuple[str, int]:
    """The branches of a tree that hold the state, and the number of order parameters in them."""
    leaves = tree.apply(values)
    share = {
        leaf: inside[leaves == leaf].sum() / inside.sum()
        for leaf in np.unique(leaves)
        if tree.tree_.value[leaf][0].argmax() == 1
    }
    said = sorted((leaf for leaf in share if share[leaf] >= WORTH_SAYING), key=lambda k: -share[k])
    branches = [_limits(tree, int(leaf)) for leaf in said]
    if len(branches) == 2 and (merged := _joined(*branches)) is not None:
        branches = [merged]
    texts = [
        ", ".join(parameters[number].condition(*limits) for number, limits in branch.items())
        for branch in branches
    ]
    return "; or ".join(texts), len({number for branch in branches for number in branch})


def _limits(tree: DecisionTreeClassifier, leaf: int) -> dict[int, tuple[float, float]]:
    """Lower and upper limit of each number on the way to a leaf, in the order of the splits."""
    inner = tree.tree_
    parents = {}
    for node in range(inner.node_count):
        if inner.children_left[node] != inner.children_right[node]:
            parents[inner.children_left[node]] = (node, True)
            parents[inner.children_right[node]] = (node, False)
    path = []
    node = leaf
    while node in parents:
        node, is_left = parents[node]
        path.append((int(inner.feature[node]), float(inner.threshold[node]), is_left))
    limits: dict[int, tuple[float, float]] = {}
    for number, threshold, is_left in reversed(path):
        low, high = limits.get(number, (-np.inf, np.inf))
        limits[number] = (low, min(high, threshold)) if is_left else (max(low, threshold), high)
    return limits


def _joined(
    one: dict[int, tuple[float, float]], other: dict[int, tuple[float, float]]
) -> dict[int, tuple[float, float]] | None:
    """One branch in place of two that meet at a limit of one number, or None."""
    differing = [k for k in {*one, *other} if one.get(k) != other.get(k)]
    if len(differing) != 1:
        return None
    (number,) = differing
    (low, high), (low_2, high_2) = (b.get(number, (-np.inf, np.inf)) for b in (one, other))
    if not (high == low_2 or high_2 == low):
        return None
    joined = {**one, number: (min(low, low_2), max(high, high_2))}
    return {k: v for k, v in joined.items() if np.isfinite(v).any()} or None
