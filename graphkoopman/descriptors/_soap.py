"""`SOAPFeaturizer`: power spectra of the density of neighbours, by DScribe."""

from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from graphkoopman._optional import missing
from graphkoopman.checks import check_choice, check_integer, check_number
from graphkoopman.descriptors._featurizer import TargetFeaturizer, mean_over_targets
from graphkoopman.trajectories import (
    TargetsLike,
    Trajectory,
    as_trajectories,
    is_species,
    species_label,
    species_number,
)

if TYPE_CHECKING:
    from dscribe.descriptors import SOAP

COMPRESSIONS = ("off", "mu2", "mu1nu1", "crossover")
MOST_FUNCTIONS, LARGEST_DEGREE, LARGEST_CUTOFF = 50, 20, 50.0
LAST_ELEMENT = 118


class SOAPFeaturizer(TargetFeaturizer):
    """Turn trajectories into SOAP power spectra of their targets.

    The neighbours of an atom, each a Gaussian, are a density per element; its expansion in radial
    functions and spherical harmonics gives numbers that are invariant to rotation, reflection and
    the order of atoms. A target of several atoms has the mean of their spectra.

    Parameters
    ----------
    targets : str, array, list of arrays, callable or None
        Whose features are wanted, see `graphkoopman.GraphFeaturizer`.
    r_cut : float
        Å, how far it looks.
    n_max : int
        Number of radial functions.
    l_max : int
        Largest degree of the spherical harmonics.
    sigma : float
        Å, width of the Gaussians.
    species : sequence of str or int, or None
        Elements of the density; None takes those of the trajectories that it is fitted to.
    compression : {"off", "crossover", "mu2", "mu1nu1"}
        Of the element channels, see DScribe.
    n_jobs : int or None
        Threads over frames, joblib's convention.

    Attributes
    ----------
    species_ : ndarray of shape (n_species,)
        Atomic numbers, rising.

    Notes
    -----
    Needs the extra ``[soap]``. The length grows with the square of the number of elements times
    ``n_max``; `lobes.FeatureEncoder` reduces vectors that are too long for the data.

    References
    ----------
    Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013); Himanen et al., Comput. Phys. Commun.
    247, 106949 (2020).

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman import Trajectory
    >>> from graphkoopman.descriptors import SOAPFeaturizer
    >>> positions = np.random.default_rng(0).uniform(0, 10, (5, 20, 3))
    >>> run = Trajectory(positions, 10 * np.eye(3), [3] * 10 + [16] * 10, timestep=1.0)
    >>> SOAPFeaturizer("element Li", n_max=2, l_max=2).fit_transform(run)
    [FeatureTrajectory(5 frames of 1 ps, 10 targets, 30 features, 0.0 MiB)]
    """

    source = "SOAP"

    def __init__(
        self,
        targets: TargetsLike = None,
        *,
        r_cut: float = 5.0,
        n_max: int = 4,
        l_max: int = 4,
        sigma: float = 0.5,
        species: Any = None,
        compression: str = "off",
        n_jobs: int | None = None,
    ) -> None:
        self.targets = targets
        self.r_cut = r_cut
        self.n_max = n_max
        self.l_max = l_max
        self.sigma = sigma
        self.species = species
        self.compression = compression
        self.n_jobs = n_jobs

    def transform(self, X: Any) -> Any:
        """Features of every trajectory, as of `graphkoopman.descriptors.FunctionFeaturizer`.

        Raises
        ------
        ValueError
            If a trajectory has an element that it was not fitted to.
        """
        check_is_fitted(self)
        trajectories = as_trajectories(X)
        for trajectory in trajectories:
            self._check_elements(trajectory)
        return super().transform(trajectories)

    def _check(self) -> None:
        check_integer(self.n_max, "n_max", 1, MOST_FUNCTIONS)
        check_integer(self.l_max, "l_max", 0, LARGEST_DEGREE)
        # DScribe's radial functions do not exist below 1 Å
        check_number(self.r_cut, "r_cut", above=1.0, maximum=LARGEST_CUTOFF)
        check_number(self.sigma, "sigma", above=0.0)
        check_choice(self.compression, "compression", COMPRESSIONS)
        _dscribe()

    def _learn(self, trajectories: list[Trajectory]) -> None:
        if self.species is None:
            found = np.unique(np.concatenate([np.unique(run.species) for run in trajectories]))
        else:
            given = [species_number(s) if isinstance(s, str) else s for s in self.species]
            found = np.unique(given)
        unknown = [n for n in found.tolist() if not 1 <= n <= LAST_ELEMENT]
        if unknown or not len(found):
            labels = [species_label(n) if is_species(n) else n for n in unknown]
            raise ValueError(
                f"SOAP is made of elements, got species {labels}; give beads and united atoms an "
                "element with read_trajectory(elements=...)"
            )
        self.species_ = found.astype(np.int64)
        for trajectory in trajectories:
            self._check_elements(trajectory)

    def _check_elements(self, trajectory: Trajectory) -> None:
        new = np.setdiff1d(trajectory.species, self.species_)
        if len(new):
            raise ValueError(
                f"trajectories must be made of the elements {_symbols(self.species_)}, got "
                f"{_symbols(new)}, too; fit to all trajectories, or give species"
            )

    def _vectors(
        self, trajectory: Trajectory, groups: list[np.ndarray]
    ) -> tuple[np.ndarray, list[str]]:
        from ase import Atoms

        soap = self._descriptor(trajectory.cells is not None)
        centers = np.concatenate(groups).tolist()
        cells = trajectory.cells

        def spectra(frame: int) -> np.ndarray:
            periodic = {} if cells is None else {"cell": cells[frame], "pbc": True}
            atoms = Atoms(trajectory.species, positions=trajectory.positions[frame], **periodic)
            return mean_over_targets(soap.create(atoms, centers=centers), groups)

        frames = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(spectra)(frame) for frame in range(len(trajectory))
        )
        return np.stack(frames).astype(np.float32), self._names(soap)

    def _descriptor(self, periodic: bool) -> "SOAP":
        return _dscribe()(
            species=self.species_.tolist(),
            r_cut=float(self.r_cut),
            n_max=int(self.n_max),
            l_max=int(self.l_max),
            sigma=float(self.sigma),
            compression={"mode": self.compression, "species_weighting": None},
            periodic=periodic,
            sparse=False,
        )

    def _names(self, soap: "SOAP") -> list[str]:
        """Elements of a product and its place among theirs, "Li S 3"; "SOAP 3" where mixed."""
        if self.compression != "off":
            return [f"SOAP {i}" for i in range(soap.get_number_of_features())]
        names = [""] * soap.get_number_of_features()
        symbols = _symbols(self.species_)
        for i, first in enumerate(symbols):
            for second in symbols[i:]:
                place = range(*soap.get_location((first, second)).indices(len(names)))
                for count, column in enumerate(place):
                    names[column] = f"{first} {second} {count}"
        return names

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "species_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags


def _symbols(numbers: Any) -> list[str]:
    return [species_label(int(n)) if is_species(int(n)) else str(n) for n in numbers]


def _dscribe() -> Any:
    try:
        from dscribe.descriptors import SOAP
    except ImportError as error:
        raise missing("soap", "SOAPFeaturizer") from error
    return SOAP
