"""Global dynamics over sites from local dynamics."""

import numpy as np
import pytest
from koopman_chains import observe
from scipy.linalg import expm

from graphkoopman.koopman import (
    KoopmanModel,
    SiteGraph,
    UnsupportedRateWarning,
    estimate_koopman,
    fcc_site_graph,
    global_koopman,
)

OUT, BACK = 0.002, 0.03  # rates per frame: octahedral to tetrahedral, and back


def local_model(lagtime, timestep=None):
    rates = np.array([[-OUT, OUT], [BACK, -BACK]])
    return KoopmanModel(expm(rates * lagtime), lagtime=lagtime, timestep=timestep)


@pytest.mark.parametrize("n_cells", [1, 2])
def test_fcc_connectivity(n_cells):
    graph = fcc_site_graph(n_cells)
    octahedral = graph.types == 0
    assert octahedral.sum() == 4 * n_cells**3
    assert (~octahedral).sum() == 8 * n_cells**3
    np.testing.assert_array_equal(graph.bonds[octahedral].sum(axis=1), 8)
    np.testing.assert_array_equal(graph.bonds[~octahedral].sum(axis=1), 4)
    assert not graph.bonds[np.ix_(octahedral, octahedral)].any()
    assert not graph.bonds[np.ix_(~octahedral, ~octahedral)].any()


@pytest.mark.parametrize("lagtime", [1, 40])
def test_fcc_timescales_are_analytic_at_any_lag_time(lagtime):
    """In one cell every octahedral site is joined to every tetrahedral one.

    A difference between octahedral sites then decays with the rate out of them (3 modes), one
    between tetrahedral sites with the rate back (7 modes), and the exchange with their sum.
    """
    result = global_koopman(local_model(lagtime, timestep=0.1), fcc_site_graph())
    expected = 1 / np.array([OUT, BACK, OUT + BACK])
    np.testing.assert_allclose(result.timescales, expected, rtol=1e-9)
    np.testing.assert_array_equal(result.degeneracies, [3, 7, 1])
    np.testing.assert_allclose(result.timescales_ps, 0.1 * expected, rtol=1e-9)
    assert result.timescales_interval is None
    assert result.timescales_ps_interval is None
    model = result.model
    assert model.lagtime == lagtime
    np.testing.assert_allclose(model.timescales(3), 1 / OUT, rtol=1e-8)
    local = local_model(lagtime).stationary_distribution
    np.testing.assert_allclose(model.stationary_distribution[:4].sum(), local[0], rtol=1e-9)


def test_sharing_out_the_matrix_itself_would_be_too_slow():
    """With several hops per lag time, K_aa holds particles now on another site of type a."""
    lagtime = 100
    matrix = local_model(lagtime).koopman_matrix
    one_hop = -lagtime / np.log(matrix[0, 0])  # differences between octahedral sites
    assert one_hop > 1.4 / OUT


def test_lumping_the_sites_gives_back_the_local_model():
    for n_cells in (1, 2):
        graph = fcc_site_graph(n_cells)
        result = global_koopman(local_model(30), graph)
        membership = np.eye(2)[graph.types]
        lumped = result.model.koopman_matrix @ membership
        expected = local_model(30).koopman_matrix[graph.types]
        np.testing.assert_allclose(lumped, expected, atol=1e-12)


def test_ring_through_the_boundary_counts_every_image():
    # One site of each type on a line: both neighbours of a site are images of the same site.
    graph = SiteGraph.from_positions(
        [[0, 0, 0], [2.0, 0, 0]], np.diag([4.0, 50.0, 50.0]), [0, 1], cutoff=2.1
    )
    np.testing.assert_array_equal(graph.bonds, [[0, 2], [2, 0]])
    result = global_koopman(local_model(5), graph)
    np.testing.assert_allclose(result.timescales, [1 / (OUT + BACK)], rtol=1e-9)


def test_triclinic_cell_and_wrapped_sites_do_not_matter():
    cell = np.eye(3)
    graph = fcc_site_graph()
    lattice = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = np.concatenate([lattice + 0.5, lattice + 0.25, lattice + 0.75])
    sheared = cell + np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0]])
    moved = sites + np.random.default_rng(0).integers(-2, 3, size=(12, 3)) @ sheared
    again = SiteGraph.from_positions(moved, sheared, graph.types, 0.44)
    np.testing.assert_array_equal(again.bonds, graph.bonds)


def test_chain_of_three_types_is_analytic():
    """A ring A-B-C-B of four sites; B shares its rate to each type among its bonds to that type."""
    types = [0, 1, 2, 1]
    bonds = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
    rates = np.array([[-0.02, 0.02, 0.0], [0.03, -0.08, 0.05], [0.0, 0.1, -0.1]])
    local = KoopmanModel(expm(rates * 3), lagtime=3)
    result = global_koopman(local, SiteGraph(types, bonds))
    generator = np.array(
        [
            [-0.02, 0.01, 0, 0.01],
            [0.03, -0.08, 0.05, 0],
            [0, 0.05, -0.1, 0.05],
            [0.03, 0, 0.05, -0.08],
        ]
    )
    decay = np.sort(-np.linalg.eigvals(generator).real)[1:]
    np.testing.assert_allclose(result.timescales, 1 / decay, rtol=1e-8)
    np.testing.assert_allclose(result.model.koopman_matrix, expm(generator * 3), atol=1e-10)


def test_intervals_come_from_the_samples():
    """Coverage in one data set: hops between the sites themselves, seen as types."""
    graph = fcc_site_graph()
    exact = global_koopman(local_model(1), graph)
    rng = np.random.default_rng(3)
    cumulative = np.cumsum(exact.model.koopman_matrix, axis=1)
    site = np.zeros(20, dtype=int)
    sites = np.empty((8000, 20), dtype=int)
    for t in range(len(sites)):
        site = (rng.random(20)[:, None] > cumulative[site, :-1]).sum(axis=1)
        sites[t] = site
    local = estimate_koopman(
        observe(graph.types[sites], 2), 20, n_bootstrap=100, timestep=0.5, random_state=0
    )
    result = global_koopman(local, graph)
    low, high = result.timescales_interval[0]
    assert low < result.timescales[0] < high
    assert low < 1 / OUT < high
    np.testing.assert_allclose(result.timescales_ps_interval[0], [0.5 * low, 0.5 * high])
    # And it is the mode that the sites show themselves, within 15 %.
    direct = estimate_koopman(np.eye(12)[sites], 20).timescales(3)
    np.testing.assert_allclose(np.mean(direct), result.timescales[0], rtol=0.15)


def test_disconnected_sites_never_relax():
    bonds = np.kron(np.eye(2, dtype=int), np.array([[0, 1], [1, 0]]))
    result = global_koopman(local_model(5), SiteGraph([0, 1, 0, 1], bonds))
    np.testing.assert_allclose(result.timescales, [np.inf, 1 / (OUT + BACK)], rtol=1e-9)
    np.testing.assert_array_equal(result.degeneracies, [1, 2])


def test_rates_without_a_bond_are_reported():
    rates = np.array([[-0.02, 0.01, 0.01], [0.01, -0.02, 0.01], [0.01, 0.01, -0.02]])
    line = SiteGraph([0, 1, 2], [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    with pytest.warns(UnsupportedRateWarning, match="50 % of the rates from local state 0"):
        result = global_koopman(KoopmanModel(expm(rates), lagtime=1), line)
    np.testing.assert_allclose(result.timescales, [100.0, 100 / 3], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: global_koopman(
                KoopmanModel([[0.2, 0.8], [0.8, 0.2]], lagtime=1), fcc_site_graph()
            ),
            r"positive eigenvalues to come from rates, got \[-0.6\]",
        ),
        (
            lambda: global_koopman(local_model(1), SiteGraph([0, 0], [[0, 1], [1, 0]])),
            r"every type 0\.\.\.1, .* got types \[0\]",
        ),
        (lambda: SiteGraph([0, 1], [[0, 1], [2, 0]]), "bonds must be a symmetric"),
        (lambda: SiteGraph([0.5, 1], [[0, 1], [1, 0]]), "types must be a vector of state numbers"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()
