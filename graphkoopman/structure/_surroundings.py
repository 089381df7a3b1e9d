"""Compiled order parameters of what is around the targets of one frame: `add_surroundings`."""

import math

import numpy as np

from graphkoopman._compiling import njit


@njit(cache=True, nogil=True, error_model="numpy")
def add_surroundings(
    positions, cell, centers, chosen, owners, columns, weights, radii, reach, shapes, orders, out
):
    """Fill ``out`` (n_targets, n_species * width + 1) for one frame.

    Per species: neighbours within its radius, nearest distance (``reach`` where there is none),
    length of the mean unit vector over the shell, bond orders; at the end the charge in the shells.
    """
    n_atoms, n_species = len(positions), len(radii)
    width = 3 + len(orders)
    periodic = len(cell) > 0
    box = cell if periodic else np.eye(3)
    inverse = np.linalg.inv(box)
    vectors = np.empty((n_species, n_atoms, 3))
    distances = np.empty((n_species, n_atoms))
    found = np.empty(n_species, np.int64)
    arm, fraction = np.empty(3), np.empty(3)
    for k in range(len(centers)):
        found[:] = 0
        for atom in range(n_atoms):
            s = columns[atom]
            if s < 0 or owners[atom] == chosen[k]:
                continue
            arm[:] = positions[atom] - centers[k]
            if periodic:
                _to_nearest_image(arm, box, inverse, fraction)
            squared = arm[0] * arm[0] + arm[1] * arm[1] + arm[2] * arm[2]
            if squared < reach * reach and squared > 0.0:
                distance = math.sqrt(squared)
                vectors[s, found[s]] = arm / distance
                distances[s, found[s]] = distance
                found[s] += 1
                if distance < radii[s]:
                    out[k, n_species * width] += weights[atom]
        for s in range(n_species):
            start, n = s * width, found[s]
            shell = out[k, start : start + 3]
            _add_shell(vectors[s, :n], distances[s, :n], radii[s], reach, shell)
            if not shapes[s].any():
                continue
            order = np.argsort(distances[s, :n])
            for b in range(len(orders)):
                if shapes[s, b]:
                    closest = vectors[s, order[: orders[b, 1]]]
                    out[k, start + 3 + b] = _steinhardt(closest, orders[b, 0])


@njit(cache=True, error_model="numpy")
def _to_nearest_image(arm, box, inverse, fraction):
    """Take whole lattice vectors off ``arm``: exact within half the smallest height of the cell.

    See `graphkoopman.structure._pairs`; ``fraction`` is room for three numbers.
    """
    for axis in range(3):
        fraction[axis] = (
            arm[0] * inverse[0, axis] + arm[1] * inverse[1, axis] + arm[2] * inverse[2, axis]
        )
        fraction[axis] -= np.rint(fraction[axis])
    for axis in range(3):
        arm[axis] = (
            fraction[0] * box[0, axis] + fraction[1] * box[1, axis] + fraction[2] * box[2, axis]
        )


@njit(cache=True, error_model="numpy")
def _add_shell(vectors, distances, radius, reach, out):
    """Neighbours within the radius, nearest distance, and length of their mean unit vector."""
    inside = 0
    nearest = reach
    mean = np.zeros(3)
    for j in range(len(distances)):
        nearest = min(nearest, distances[j])
        if distances[j] < radius:
            inside += 1
            mean += vectors[j]
    out[0] = inside
    out[1] = nearest
    if inside:
        out[2] = math.sqrt(mean @ mean) / inside


@njit(cache=True, error_model="numpy")
def _steinhardt(directions, order):
    """Steinhardt's q_l by the addition theorem: its square is the mean of P_l(cos) over pairs."""
    n = len(directions)
    total = 0.0
    for i in range(n):
        for j in range(n):
            x = 0.0
            for axis in range(3):
                x += directions[i, axis] * directions[j, axis]
            before, legendre = 1.0, x
            for m in range(2, order + 1):
                before, legendre = legendre, ((2 * m - 1) * x * legendre - (m - 1) * before) / m
            total += legendre
    return math.sqrt(max(total, 0.0)) / n if n else 0.0
