"""The methods paragraph, ready for a paper, and its references: `methods`, `REFERENCES`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphkoopman.report._study import Study

__all__ = ["REFERENCES", "methods"]

REFERENCES = (
    "T. Xie, A. France-Lanord, Y. Wang, Y. Shao-Horn and J. C. Grossman, Nat. Commun. 10, 2667 "
    "(2019): graph dynamical networks.",
    "A. Mardt, L. Pasquali, H. Wu and F. Noé, Nat. Commun. 9, 5 (2018): VAMPnets.",
    "H. Wu and F. Noé, J. Nonlinear Sci. 30, 23 (2020): the VAMP score.",
    "M. Hoffmann et al., Mach. Learn.: Sci. Technol. 3, 015009 (2022): deeptime.",
    "F. Pedregosa et al., J. Mach. Learn. Res. 12, 2825 (2011): scikit-learn.",
    "R. T. McGibbon et al., Biophys. J. 109, 1528 (2015): MDTraj.",
    "N. Rego and D. Koes, Bioinformatics 31, 1322 (2015): 3Dmol.js.",
)


def methods(study: Study, record: Mapping[str, Any] | None) -> str:
    """What was done, in sentences with the settings of this run."""
    estimator, model = study.estimator, study.analysis.model
    settings = estimator.get_params()
    frames = [len(item) for item in study.trajectories]
    total = sum((n - 1) for n in frames) * float(estimator.timestep_)
    versions = (record or {}).get("versions", {})
    own = versions.get("graphkoopman")
    if estimator.n_neighbors_ is not None:
        graph = f"{estimator.n_neighbors_} nearest neighbours"
    else:
        graph = f"neighbours within {estimator.cutoff_:g} Å"
    graph += " per atom"
    if estimator.n_per_species_:
        graph += f", and of at least {estimator.n_per_species_} of every species per target"
    convolutions = settings.get("n_conv", settings.get("encoder__n_conv"))
    layers = f"{convolutions} graph convolutions" if convolutions else "a graph network"
    seed = settings.get("random_state")
    parts = [
        f"States of {study.name} were learned with graph dynamical networks [1] as implemented in "
        f"graphkoopman{f' {own}' if own else ''}.",
        f"The data are {len(frames)} trajector{'y' if len(frames) == 1 else 'ies'} of "
        f"{total:.4g} ps in all, sampled every {float(estimator.timestep_):g} ps, with "
        f"{study.probabilities[0].shape[1]} targets.",
        f"Each target's surroundings are a graph of {graph}, mapped to "
        f"{study.n_states} state probabilities by {layers} that maximise the VAMP-2 score [2, 3] "
        f"at a lag of {study.lag:g} ps, with {estimator.n_iter_} epochs"
        f"{f' and random seed {seed}' if seed is not None else ''}.",
        f"The VAMP-2 score of held-out blocks is {estimator.validation_score_:.3f} of at most "
        f"{study.n_states}.",
        "The states were then fixed to the crispest memberships in the learned space, cutting off "
        f"{estimator.clipped_mass_:.1%} of the memberships.",
        "Koopman models were estimated in these states and tested with deeptime [4]; 95 % "
        f"intervals are Student's t over {model.n_effective:.1f} independent units ({model.unit}).",
        "Order parameters were compared by standardised differences and by decision trees of "
        f"scikit-learn [5], cross-validated over {study.description.n_blocks} blocks of time.",
    ]
    others = [f"{name} {number}" for name, number in versions.items() if name != "graphkoopman"]
    if others:
        parts.append(f"Versions: {', '.join(others)}.")
    return " ".join(parts)


def percent(value: float) -> str:
    """A share as people write it."""
    return f"{value:.1%}" if np.isfinite(value) and value < 0.1 else f"{value:.0%}"
