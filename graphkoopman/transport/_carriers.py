"""Charge carriers beside the targets: `Carrier`, `check_carriers`, `charge_path`."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphkoopman.trajectories import Targets, resolve_targets, target_centers
from graphkoopman.transport._runs import PART_ELEMENTS, TransportRun

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Carrier:
    """Atoms or molecules of one kind in one run.

    Attributes
    ----------
    name : str
    groups : Targets
    charges : ndarray of shape (n_groups,)
        e.
    """

    name: str
    groups: Targets
    charges: Array


def check_carriers(others: Any, runs: list[TransportRun]) -> list[list[Carrier]]:
    """The other carriers of every run, in the same order.

    Parameters
    ----------
    others : mapping, sequence of pairs, array-like of shape (n_atoms,), or None
        See `graphkoopman.transport.onsager_contributions`.
    runs : list of TransportRun

    Raises
    ------
    ValueError
        If charges are not finite or do not fit, or an atom belongs to two carriers.
    TypeError
        If ``others`` is none of these.
    """
    if others is None:
        return [[] for _ in runs]
    if isinstance(others, Mapping):
        pairs = [(str(name), name, charge) for name, charge in others.items()]
    elif (pairs_given := _as_pairs(others)) is not None:
        pairs = [
            (chosen if isinstance(chosen, str) else f"others[{i}]", chosen, charge)
            for i, (chosen, charge) in enumerate(pairs_given)
        ]
    else:
        return [[_from_atoms(others, run)] for run in runs]
    if not pairs:
        raise ValueError("others must name at least one carrier, got none; leave it out")
    return [_resolve(pairs, run) for run in runs]


def _as_pairs(others: Any) -> list[tuple[Any, Any]] | None:
    """(selection, charge) pairs, or None where `others` is an array of charges."""
    if not isinstance(others, list | tuple):
        return None
    is_chosen = len(others) == 2 and (isinstance(others[0], str) or np.ndim(others[0]) == 1)
    if is_chosen and not _is_pair(others[0]):
        return [(others[0], others[1])]  # one pair, without a list around it
    return list(others) if len(others) and all(_is_pair(item) for item in others) else None


def _is_pair(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2 and not isinstance(item[0], Real)


def _resolve(pairs: list[tuple[str, Any, Any]], run: TransportRun) -> list[Carrier]:
    owner = {int(atom): "targets" for atom in run.targets.atoms}
    carriers = []
    for name, chosen, charge in pairs:
        groups = resolve_targets(chosen, run.trajectory)
        for atom in groups.atoms:
            if (other := owner.setdefault(int(atom), name)) != name:
                raise ValueError(
                    f"others must be atoms that no other carrier has, got atom {atom} in {name!r} "
                    f"and in {other!r}; every charge may move once only"
                )
        charges = np.asarray(charge, dtype=np.float64)
        if charges.shape not in ((), (groups.n_targets,)) or not np.isfinite(charges).all():
            raise ValueError(
                f"the charge of {name!r} in others must be one finite number of e, or one for "
                f"each of its {groups.n_targets}, got {charge!r}"
            )
        carriers.append(Carrier(name, groups, np.broadcast_to(charges, (groups.n_targets,))))
    return carriers


def _from_atoms(others: Any, run: TransportRun) -> Carrier:
    """Every charged atom that is no target's, from charges of all atoms."""
    try:
        charges = np.asarray(others, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "others must map selections to charges in e, hold (selection, charge) pairs, or hold "
            f"the charge of every atom, got {others!r}"
        ) from error
    n_atoms = run.trajectory.n_atoms
    if charges.shape != (n_atoms,) or not np.isfinite(charges).all():
        raise ValueError(
            f"others as an array must hold one finite charge in e for each of the {n_atoms} atoms, "
            f"got shape {charges.shape}; charges of targets in it are not used"
        )
    charged = charges != 0.0
    charged[run.targets.atoms] = False
    atoms = np.flatnonzero(charged)
    if len(atoms) == 0:
        raise ValueError(
            "others must give a charge to an atom that is no target's, got none; leave it out"
        )
    groups = Targets(atoms=atoms, offsets=np.arange(len(atoms) + 1))
    return Carrier("others", groups, charges[atoms])


def charge_path(run: TransportRun, carrier: Carrier) -> Array:
    """Sum of charge times position over a carrier, (n_frames, 3) in e Å, without the drift."""
    path = np.zeros((run.n_frames, 3))
    offsets = carrier.groups.offsets
    size = max(1, PART_ELEMENTS // (9 * run.n_frames))
    for start in range(0, carrier.groups.n_targets, size):
        stop = min(start + size, carrier.groups.n_targets)
        part = Targets(
            atoms=carrier.groups.atoms[offsets[start] : offsets[stop]],
            offsets=offsets[start : stop + 1] - offsets[start],
        )
        centers = target_centers(run.trajectory, part)
        path += np.einsum("fnx,n->fx", centers, carrier.charges[start:stop])
    if run.drift is not None:
        path -= carrier.charges.sum() * run.drift
    return path
