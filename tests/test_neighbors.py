"""Neighbours: known answers, invariances, and agreement with ASE, scipy, freud and brute force."""

import itertools

import ase.neighborlist
import freud
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from neighbor_systems import SYSTEMS, TRICLINIC, cubic_gas, fcc_toy
from numba import njit
from scipy.spatial import cKDTree

from graphkoopman.neighbors import (
    build_grid,
    check_not_nanometre,
    k_nearest,
    nearest_of,
    occupancy_for_nearest,
    within,
    within_of,
)

# Distances of a few Å from coordinates of up to 100 Å: rounding is below 1e-13; 1e-9 leaves room
# for the oracles' own wrapping.
ATOL = 1e-9


@pytest.fixture(params=SYSTEMS, name="system")
def system_fixture(request):
    return SYSTEMS[request.param]


def ase_pairs(positions, cell, cutoff):
    center, neighbor, distance = ase.neighborlist.primitive_neighbor_list(
        "ijd", [cell is not None] * 3, np.zeros((3, 3)) if cell is None else cell,
        positions, cutoff,
    )  # fmt: skip
    order = np.lexsort((neighbor, distance, center))
    return center[order], neighbor[order], distance[order]


def image_sum(positions, cell, reach):
    """All neighbours of all atoms among explicit images, by brute force; itself is at infinity."""
    images = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
    wrapped = positions - np.floor(positions @ np.linalg.inv(cell)) @ cell
    copies = (wrapped[None] + (images @ cell)[:, None]).reshape(-1, 3)
    distances = np.linalg.norm(copies[None] - wrapped[:, None], axis=-1)
    itself = len(images) // 2 * len(positions) + np.arange(len(positions))
    distances[np.arange(len(positions)), itself] = np.inf
    return distances, np.tile(np.arange(len(positions)), len(images))


def assert_same_neighbors(indices, distances, other_indices, other_distances):
    """Equal distances, and equal atoms except inside groups that are equally far."""
    np.testing.assert_allclose(distances, other_distances, rtol=0, atol=ATOL)
    ends = np.flatnonzero(np.diff(distances) > 10 * ATOL) + 1
    # A group that the end of the list cuts through may hold other atoms at the same distance.
    for group, other in zip(
        np.split(indices, ends)[:-1], np.split(other_indices, ends)[:-1], strict=True
    ):
        np.testing.assert_array_equal(np.sort(group), np.sort(other))


def assert_same_rows(result, other):
    for row in range(len(result[0])):
        assert_same_neighbors(result[0][row], result[1][row], other[0][row], other[1][row])


def test_simple_cubic_shells():
    _, distances = k_nearest(np.zeros((1, 3)), 2.0 * np.eye(3), k=6 + 12 + 8 + 6)
    shells = np.repeat(2.0 * np.sqrt([1.0, 2.0, 3.0, 4.0]), [6, 12, 8, 6])
    # The cell is a power of two, so nothing is rounded but the roots.
    np.testing.assert_allclose(distances[0], shells, rtol=1e-15)


def test_toy_octahedral_site_has_six_sulfur_then_eight():
    positions, cell = fcc_toy()
    positions[4] = [3.25, 3.25, 3.25]
    indices, distances = k_nearest(positions, cell, k=14, centers=[4])
    np.testing.assert_array_equal(distances[0, :6], 3.25)
    np.testing.assert_allclose(distances[0, 6:], 3.25 * np.sqrt(3.0), rtol=1e-15)
    assert sorted(indices[0, :6].tolist()) == [1, 1, 2, 2, 3, 3]
    assert indices[0, 6:].tolist() == [0] * 8


def test_density_of_neighbors_in_an_ideal_gas():
    positions, cell = cubic_gas(12, density=0.05, n_atoms=20_000)
    center, _, _ = within(positions, cell, cutoff=5.0)
    expected = 0.05 * 4.0 / 3.0 * np.pi * 5.0**3
    # Pair counts are Poisson: relative error sqrt(2 / n_pairs) = 0.0019; four of them.
    assert len(center) / len(positions) == pytest.approx(expected, rel=0.008)


def test_k_nearest_equals_ase(system):
    positions, cell = system
    k = 12
    indices, distances = k_nearest(positions, cell, k)
    cutoff = distances.max() * (1 + 1e-6)
    center, neighbor, distance = ase_pairs(positions, cell, cutoff)
    for atom in range(len(positions)):
        rows = np.flatnonzero(center == atom)[:k]
        assert_same_neighbors(indices[atom], distances[atom], neighbor[rows], distance[rows])


@pytest.mark.parametrize("cutoff", [0.8, 3.3, 7.1])
def test_within_equals_ase(system, cutoff):
    positions, cell = system
    center, neighbor, distance = within(positions, cell, cutoff)
    ase_center, ase_neighbor, ase_distance = ase_pairs(positions, cell, cutoff)
    np.testing.assert_array_equal(center, ase_center)
    for atom in range(len(positions)):
        rows, ase_rows = center == atom, ase_center == atom
        assert_same_neighbors(
            neighbor[rows], distance[rows], ase_neighbor[ase_rows], ase_distance[ase_rows]
        )


def test_a_cell_that_changes_per_frame():
    rng = np.random.default_rng(13)
    fractions = rng.uniform(size=(25, 3))
    for _ in range(5):
        cell = TRICLINIC * rng.uniform(0.7, 1.3) + rng.normal(0.0, 0.5, (3, 3))
        positions = fractions @ cell
        center, neighbor, distance = within(positions, cell, 5.0)
        ase_center, ase_neighbor, ase_distance = ase_pairs(positions, cell, 5.0)
        np.testing.assert_array_equal(center, ase_center)
        np.testing.assert_array_equal(neighbor, ase_neighbor)
        np.testing.assert_allclose(distance, ase_distance, rtol=0, atol=ATOL)


@pytest.mark.parametrize("name", ["triclinic", "toy", "gas 0.02", "gas 0.1"])
def test_k_nearest_equals_a_tree_of_explicit_images(name):
    positions, cell = SYSTEMS[name]
    wrapped = positions - np.floor(positions @ np.linalg.inv(cell)) @ cell
    images = np.array(list(itertools.product(range(-3, 4), repeat=3))) @ cell
    tree = cKDTree((wrapped + images[:, None]).reshape(-1, 3))
    distances, copies = tree.query(wrapped, k=16)
    other = copies[:, 1:] % len(positions), distances[:, 1:]
    assert_same_rows(k_nearest(positions, cell, 15), other)


def test_k_nearest_equals_freud_in_an_orthorhombic_box():
    lengths = np.array([18.0, 21.0, 24.0])
    rng = np.random.default_rng(14)
    # freud computes in float32: 1e-5 is a few of its roundings of 24 Å.
    positions = rng.uniform(-0.5, 0.5, (400, 3)).astype(np.float32) * np.float32(lengths)
    query = freud.locality.AABBQuery(freud.box.Box(*lengths), positions)
    bonds = query.query(positions, {"num_neighbors": 10, "exclude_ii": True})
    distances = bonds.toNeighborList(sort_by_distance=True).distances.reshape(-1, 10)
    _, ours = k_nearest(positions, np.diag(lengths), 10)
    np.testing.assert_allclose(ours, distances, rtol=0, atol=1e-5)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    edges=st.lists(st.floats(1.0, 5.0), min_size=3, max_size=3),
    shear=st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3),
    fractions=st.lists(st.tuples(*[st.floats(-2.0, 2.0)] * 3), min_size=1, max_size=6),
    k=st.integers(1, 20),
    cutoff=st.floats(0.1, 4.5),
)  # fmt: skip
def test_any_small_cell_equals_the_image_sum(edges, shear, fractions, k, cutoff):
    a, b, c = edges
    cell = np.array([[a, 0, 0], [shear[0] * a, b, 0], [shear[1] * a, shear[2] * b, c]])
    positions = np.array(fractions) @ cell
    # The cell is at least 0.6 Å high in every direction: nine images reach past 4.5 Å.
    distances, atoms = image_sum(positions, cell, reach=9)
    for row in range(len(positions)):
        order = np.lexsort((atoms, distances[row]))
        nearest = order[:k]
        indices, found = k_nearest(positions, cell, k, centers=[row])
        assert_same_neighbors(indices[0], found[0], atoms[nearest], distances[row][nearest])
        _, _, found = within(positions, cell, cutoff, centers=[row])
        inside = np.sort(distances[row][distances[row] < cutoff])
        if not np.isclose(distances[row], cutoff, rtol=0, atol=ATOL).any():
            np.testing.assert_allclose(found, inside, rtol=0, atol=ATOL)


def moved(kind, positions, cell):
    """Return an equivalent system."""
    rng = np.random.default_rng(15)
    if kind == "wrapped elsewhere":
        return positions + rng.integers(-4, 5, (len(positions), 3)) @ cell, cell
    if kind == "translated":
        return positions + np.array([13.7, -4.1, 0.9]), cell
    if kind == "rotated":
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        return positions @ rotation, cell @ rotation
    # A basis of the same lattice, with a determinant of one.
    return positions, np.array([[1, 4, 0], [0, 1, 0], [-7, -30, 1]]) @ cell


@pytest.mark.parametrize(
    "kind", ["wrapped elsewhere", "translated", "rotated", "another cell of the lattice"]
)
@pytest.mark.parametrize("name", ["toy", "triclinic", "gas 0.1", "needle", "cluster in vacuum"])
def test_equivalent_systems_have_the_same_neighbors(kind, name):
    positions, cell = SYSTEMS[name]
    other = moved(kind, positions, cell)
    assert_same_rows(k_nearest(*other, 13), k_nearest(positions, cell, 13))
    # No pair of these systems is within 1e-9 of this cutoff.
    pairs, other_pairs = within(positions, cell, 4.4321), within(*other, 4.4321)
    np.testing.assert_array_equal(other_pairs[0], pairs[0])
    np.testing.assert_allclose(other_pairs[2], pairs[2], rtol=0, atol=ATOL)


def test_permuted_atoms_have_permuted_neighbors():
    positions, cell = SYSTEMS["triclinic"]
    order = np.random.default_rng(16).permutation(len(positions))
    indices, distances = k_nearest(positions, cell, 14)
    other_indices, other_distances = k_nearest(positions[order], cell, 14)
    assert_same_rows((order[other_indices], other_distances), (indices[order], distances[order]))


def test_pairs_are_symmetric_to_the_last_bit():
    positions, cell = SYSTEMS["triclinic"]
    center, neighbor, distance = within(positions, cell, 6.0)
    forward = np.lexsort((distance, neighbor, center))
    backward = np.lexsort((distance, center, neighbor))
    np.testing.assert_array_equal(center[forward], neighbor[backward])
    np.testing.assert_array_equal(distance[forward], distance[backward])


def test_centers_are_rows_of_the_whole(system):
    positions, cell = system
    centers = np.array([len(positions) - 1, 0, len(positions) // 2, 0])
    indices, distances = k_nearest(positions, cell, 9)
    some_indices, some_distances = k_nearest(positions, cell, 9, centers=centers)
    np.testing.assert_array_equal(some_indices, indices[centers])
    np.testing.assert_array_equal(some_distances, distances[centers])

    center, neighbor, distance = within(positions, cell, 4.0)
    rows = np.concatenate([np.flatnonzero(center == atom) for atom in centers])
    for some, whole in zip(
        within(positions, cell, 4.0, centers=centers), (center, neighbor, distance), strict=True
    ):
        np.testing.assert_array_equal(some, whole[rows])


def test_no_centers_give_no_rows():
    positions, cell = SYSTEMS["triclinic"]
    assert k_nearest(positions, cell, 3, centers=[])[0].shape == (0, 3)
    assert [array.size for array in within(positions, cell, 3.0, centers=[])] == [0, 0, 0]


def test_ties_come_by_index():
    indices, distances = k_nearest(np.zeros((6, 3)), 4.0 * np.eye(3), k=7, centers=[2])
    assert indices[0].tolist() == [0, 1, 3, 4, 5, 0, 0]
    assert distances[0].tolist() == [0.0] * 5 + [4.0] * 2


@pytest.mark.parametrize("cell", [None, 12.0 * np.eye(3)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_tie_at_the_last_place_goes_to_the_lower_index(cell, axis):
    # Integer coordinates are exact; many atoms, so that bins are visited against the index order.
    grid = np.array(list(itertools.product(range(-5, 6, 2), repeat=3)), dtype=float)
    tied = np.ones((2, 3))
    tied[0, axis], tied[1, axis] = 2.0, 0.0
    positions = np.vstack([tied, grid])
    center = 2 + int(np.flatnonzero((grid == 1.0).all(axis=1))[0])
    indices, distances = k_nearest(positions, cell, 1, centers=[center])
    assert (indices.item(), distances.item()) == (0, 1.0)


def test_coincident_atoms_without_a_cell():
    indices, distances = k_nearest(np.ones((4, 3)), None, k=3)
    assert indices.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert not distances.any()


def test_cutoff_is_strict():
    positions = [[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]
    assert len(within(positions, None, 2.0)[0]) == 0
    assert len(within(positions, None, np.nextafter(2.0, 3.0))[0]) == 2


@pytest.mark.parametrize("fraction", [0.0, -1e-17, 1.0, 1.0 - 1e-16, -3.0])
def test_atoms_on_the_border_of_the_cell(fraction):
    positions = np.array([[fraction, 0.5, 0.5], [0.1, 0.5, 0.5]]) @ TRICLINIC
    distance = 0.1 * np.linalg.norm(TRICLINIC[0])
    assert k_nearest(positions, TRICLINIC, 1)[1][:, 0] == pytest.approx(distance, abs=ATOL)


def test_inputs_are_left_alone():
    positions, cell = (array.copy() for array in SYSTEMS["triclinic"])
    k_nearest(positions, cell, 5)
    within(positions, cell, 5.0)
    np.testing.assert_array_equal(positions, SYSTEMS["triclinic"][0])
    np.testing.assert_array_equal(cell, SYSTEMS["triclinic"][1])


@njit
def receptive_field(positions, cell, targets, k):
    """Neighbours of targets and of their neighbours, on one grid; also counts below 4 Å."""
    grid = build_grid(positions, cell, True, occupancy_for_nearest(k))
    seen = np.zeros(len(positions), np.bool_)
    indices = np.empty((len(positions), k), np.int32)
    distances = np.empty((len(positions), k))
    counts = np.zeros(len(positions), np.int64)
    for target in targets:
        nearest_of(target, grid, indices[target], distances[target])
        seen[target] = True
        for atom in indices[target].copy():
            if not seen[atom]:
                nearest_of(atom, grid, indices[atom], distances[atom])
                counts[atom] = within_of(atom, grid, 4.0, indices[atom][:0], distances[atom][:0])
                seen[atom] = True
    return seen, indices, distances, counts


def test_compiled_code_searches_a_growing_set_of_centers():
    positions, cell = SYSTEMS["gas 0.1"]
    seen, indices, distances, counts = receptive_field(positions, cell, np.array([3, 77]), 6)
    expected_indices, expected_distances = k_nearest(positions, cell, 6)
    assert 8 < seen.sum() <= 14
    np.testing.assert_array_equal(indices[seen], expected_indices[seen])
    np.testing.assert_array_equal(distances[seen], expected_distances[seen])
    whole = np.bincount(within(positions, cell, 4.0)[0], minlength=len(positions))
    np.testing.assert_array_equal(counts[counts > 0], whole[counts > 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": np.zeros((4, 2))}, r"positions must have shape .* got \(4, 2\)"),
        ({"positions": np.zeros((2, 4, 3))}, r"pass one frame, positions\[i\]"),
        ({"positions": np.zeros((0, 3))}, "at least one atom"),
        ({"positions": [[0, 0, 0], [0, np.nan, 0]]}, "must be finite, got .* for atom 1"),
        ({"cell": np.ones(3)}, r"cell must have shape \(3, 3\).* np.diag"),
        ({"cell": np.full((3, 3), np.inf)}, "cell must be finite"),
        ({"cell": np.ones((3, 3))}, "three independent lattice vectors"),
        ({"cell": np.zeros((3, 3))}, "pass None for no cell"),
        ({"k": 0}, "k must be an integer >= 1, got 0"),
        ({"k": 2.5}, "k must be an integer >= 1, got 2.5"),
        ({"cell": None, "k": 4}, "at least k \\+ 1 = 5 atoms, got 4; lower k to 3"),
        ({"centers": [0, 4]}, r"centers must be between 0 and 3 .* got 4"),
        ({"centers": [-1]}, "got -1"),
        ({"centers": [True, False]}, "np.flatnonzero"),
        ({"centers": [[0]]}, r"of shape \(1, 1\)"),
    ],
)
def test_k_nearest_names_what_is_wrong(changes, message):
    arguments = {"positions": np.arange(12.0).reshape(4, 3), "cell": TRICLINIC, "k": 2}
    with pytest.raises(ValueError, match=message):
        k_nearest(**(arguments | changes))


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_within_names_what_is_wrong(cutoff):
    with pytest.raises(ValueError, match="cutoff must be > 0 and finite"):
        within(np.zeros((2, 3)), None, cutoff)


def test_positions_in_nanometres_are_recognised():
    positions, cell = SYSTEMS["toy"]
    check_not_nanometre(k_nearest(positions, cell, 12)[1])
    with pytest.raises(ValueError, match="in nm, multiply both by 10"):
        check_not_nanometre(k_nearest(positions / 10, cell / 10, 12)[1])


def test_a_single_contact_is_not_taken_for_nanometres():
    check_not_nanometre([[0.1, 2.0], [0.1, 2.1], [1.9, 2.0], [1.5, 2.0], [1.6, 2.2]])
