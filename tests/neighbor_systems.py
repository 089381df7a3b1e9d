"""Systems of all kinds of cells, dense and thin, for the tests of neighbour searches."""

import numpy as np

TRICLINIC = np.array([[9.0, 0.0, 0.0], [7.5, 6.0, 0.0], [-6.0, 4.0, 8.0]])


def random_system(seed, n_atoms, cell):
    rng = np.random.default_rng(seed)
    # Fractions from -2 to 3: positions are not wrapped.
    return rng.uniform(-2.0, 3.0, (n_atoms, 3)) @ cell


def fcc_toy():
    sulfur = 6.5 * np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return np.vstack([sulfur, [3.0, 3.4, 3.1]]), 6.5 * np.eye(3)


def cubic_gas(seed, density, n_atoms=200):
    cell = (n_atoms / density) ** (1 / 3) * np.eye(3)
    return random_system(seed, n_atoms, cell), cell


SYSTEMS = {
    "toy": fcc_toy(),
    "triclinic": (random_system(1, 30, TRICLINIC), TRICLINIC),
    "left-handed": (random_system(2, 20, TRICLINIC[::-1]), TRICLINIC[::-1]),
    "no cell": (np.random.default_rng(3).uniform(-8.0, 8.0, (60, 3)), None),
    "plane without cell": (np.random.default_rng(4).uniform(0.0, 9.0, (40, 3)) * [1, 1, 0], None),
    "gas 0.002": cubic_gas(5, 0.002),
    "gas 0.02": cubic_gas(6, 0.02),
    "gas 0.1": cubic_gas(7, 0.1),
    "needle": (random_system(8, 10, np.diag([1.1, 1.3, 40.0])), np.diag([1.1, 1.3, 40.0])),
    "pancake": (random_system(9, 25, np.diag([18.0, 17.0, 0.9])), np.diag([18.0, 17.0, 0.9])),
    "one atom": (np.array([[0.3, -4.0, 11.0]]), TRICLINIC / 3),
    "cluster in vacuum": (np.random.default_rng(10).normal(0.0, 2.0, (60, 3)), 90.0 * np.eye(3)),
    "vacuum and a lone atom": (
        np.vstack([np.random.default_rng(11).normal(0.0, 1.5, (20, 3)), [25.0, 20.0, 22.0]]),
        np.diag([50.0, 45.0, 48.0]),
    ),
}
