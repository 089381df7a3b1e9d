"""How far to trust a model, in plain words: `Verdict`, `judge`, `name_of_targets`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import mdtraj as md
import numpy as np

from graphkoopman.estimator import GDyNetEstimator
from graphkoopman.koopman import BootstrapKoopmanModel, ChapmanKolmogorovError
from graphkoopman.trajectories import TargetsLike, Trajectory, resolve_targets

__all__ = ["Verdict", "judge", "name_of_targets"]

ANSWERS: dict[str, Literal["yes", "no", "can't tell"]] = {
    "markovian": "yes",
    "not markovian": "no",
    "inconclusive": "can't tell",
}
MUCH_CUT_OFF = 0.05
FEW_UNITS = 10.0
ENOUGH_LIFETIMES = 3.0  # of the slowest process, in the longest run
AGREEMENT = 0.9


@dataclass(frozen=True)
class Verdict:
    """What a colleague should know before believing a model.

    Attributes
    ----------
    markovian : {"yes", "no", "can't tell"}
        Whether the Chapman-Kolmogorov test passes at the lag of the model.
    ck : float
        Its error; NaN where the runs are too short for a test.
    ck_interval : tuple of float
        95 %.
    line : str
        One sentence.
    notes : tuple of str
        What else is to be known, a sentence each with what to do.
    """

    markovian: Literal["yes", "no", "can't tell"]
    ck: float
    ck_interval: tuple[float, float]
    line: str
    notes: tuple[str, ...]


def judge(
    estimator: GDyNetEstimator,
    model: BootstrapKoopmanModel,
    markov: ChapmanKolmogorovError | None,
    lengths: Sequence[int],
    *,
    name: str,
) -> Verdict:
    """Say whether a model holds, and what speaks against it.

    Parameters
    ----------
    estimator : GDyNetEstimator
        Fitted.
    model : BootstrapKoopmanModel
        At its lag.
    markov : ChapmanKolmogorovError or None
        Test of the model; None where no run is longer than two lags.
    lengths : sequence of int
        Frames of each run.
    name : str
        What the targets are called in the text.
    """
    timestep = float(estimator.timestep_)
    error, (low, high) = np.nan, (-np.inf, np.inf)
    markovian: Literal["yes", "no", "can't tell"] = "can't tell"
    if markov is not None:
        error, (low, high) = markov.error, markov.interval()
        markovian = ANSWERS[markov.verdict]
    said = {
        "yes": "holds at this lag",
        "no": "does not hold at this lag",
        "can't tell": "whether it holds at this lag cannot be told",
    }[markovian]
    ck_text = (
        f"CK {error:.3f} [{low:.3f}, {high:.3f}]"
        if markov is not None
        else "runs too short for a CK test"
    )
    line = (
        f"{model.n_states} states of {name} at {estimator.lagtime * timestep:g} ps; "
        f"{said} ({ck_text})"
    )
    slowest, beyond = _slowest(model, max(lengths) * timestep)
    return Verdict(
        markovian=markovian,
        ck=error,
        ck_interval=(low, high),
        line=f"{line}; {slowest}",
        notes=(*_advice(markovian), *beyond, *_doubts(estimator, model)),
    )


def name_of_targets(trajectory: Trajectory, targets: TargetsLike) -> str:
    """Elements of single atoms, or the formula of molecules: "Li", "H2O"."""
    resolved = resolve_targets(targets, trajectory)
    groups = resolved.groups()
    symbols = {
        int(n): md.element.Element.getByAtomicNumber(int(n)).symbol
        for n in np.unique(trajectory.species[resolved.atoms])
    }
    if len(resolved.atoms) == resolved.n_targets:
        return " and ".join(sorted(symbols.values()))
    formulas = set()
    for group in groups:
        numbers, counts = np.unique(trajectory.species[group], return_counts=True)
        # Hill's order: carbon, hydrogen, then the alphabet
        order = sorted(
            zip([symbols[int(n)] for n in numbers], counts.tolist(), strict=True),
            key=lambda pair: ({"C": 0, "H": 1}.get(pair[0], 2), pair[0]),
        )
        formulas.add("".join(symbol + (str(n) if n > 1 else "") for symbol, n in order))
    return " and ".join(sorted(formulas)) if len(formulas) <= 3 else "molecules"


def agreement_of_starts(estimator: GDyNetEstimator) -> float | None:
    """Cohen's κ between the states of several starts; None for a single one."""
    scores = getattr(estimator, "start_scores_", ())
    agreement = float(getattr(estimator, "agreement_", np.nan))
    return agreement if len(scores) > 1 and np.isfinite(agreement) else None


def _slowest(model: BootstrapKoopmanModel, longest: float) -> tuple[str, list[str]]:
    """The slowest time in words, and what is wrong with it."""
    time = float(model.prior.timescales_ps(1)[0])
    if not np.isfinite(time):
        return "no slow process was found", [
            "No relaxation time can be told from the model; use a shorter lag or more data."
        ]
    low, high = model.timescales_ps_interval(1)[0]
    text = f"slowest time {time:.3g} ps [{low:.3g}, {high:.3g}]"
    if time > longest:
        return f"{text} is longer than any run ({longest:.3g} ps)", [
            f"The slowest time ({time:.3g} ps) is beyond the data: no run lasts that long "
            f"({longest:.3g} ps). Take it as a lower bound on trust, and run longer."
        ]
    if time * ENOUGH_LIFETIMES > longest:
        return text, [
            f"The longest run ({longest:.3g} ps) holds fewer than {ENOUGH_LIFETIMES:g} of the "
            f"slowest times ({time:.3g} ps); run longer before that number is quoted."
        ]
    return text, []


def _advice(markovian: str) -> list[str]:
    if markovian == "no":
        return [
            "Predictions over several lags miss what is observed: use a longer lag or more "
            "states; graphkoopman select compares them."
        ]
    if markovian == "can't tell":
        return [
            "The data are too few to tell whether the model predicts beyond its lag: add runs, or "
            "use a shorter lag."
        ]
    return []


def _doubts(estimator: GDyNetEstimator, model: BootstrapKoopmanModel) -> list[str]:
    notes = []
    if estimator.clipped_mass_ > MUCH_CUT_OFF:
        notes.append(
            f"{estimator.clipped_mass_:.0%} of the memberships had to be cut off: states overlap. "
            "Use fewer states, or a shorter lag."
        )
    if model.n_effective < FEW_UNITS:
        notes.append(
            f"Intervals rest on {model.n_effective:.1f} independent units ({model.unit}); they "
            "are wide for good reason. Add runs."
        )
    agreement = agreement_of_starts(estimator)
    if agreement is None:
        notes.append(
            "One start only: nothing tells whether another would find the same states. Use "
            "--restarts 3 (n_init=3)."
        )
    elif agreement < AGREEMENT:
        notes.append(
            f"Starts agree with κ = {agreement:.2f} only (1 is the same states): the states are "
            "not unique. Use more data or fewer states."
        )
    if not estimator.converged_:
        notes.append("Training ended while the score still rose; raise --epochs (max_epochs).")
    return notes
