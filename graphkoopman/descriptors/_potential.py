"""`PotentialFeaturizer`: what a pretrained interatomic potential knows of an atom."""

import os
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from graphkoopman._optional import missing
from graphkoopman.descriptors._featurizer import TargetFeaturizer, mean_over_targets
from graphkoopman.trajectories import TargetsLike, Trajectory

LAST_ELEMENT = 118
AtomFeatures = Callable[[Trajectory, int], np.ndarray]  # of a frame: (n_atoms, n_features)


class PotentialFeaturizer(TargetFeaturizer):
    """Turn trajectories into the atom features of a pretrained interatomic potential.

    A target of several atoms has the mean of their features. The potential is used as it is; what
    its features are worth on a material is seen on held-out frames.

    Parameters
    ----------
    potential : "chgnet", path, or model
        ``"chgnet"``: CHGNet 0.3.0, whose weights come with its package, 64 features per atom, for
        periodic systems (extra ``[chgnet]``). Otherwise a metatomic model with an output named
        ``features`` or ``feature``, or the path of its file (extra ``[metatomic]``).
    targets : str, array, list of arrays, callable or None
        Whose features are wanted, see `graphkoopman.GraphFeaturizer`.
    device : str
        Torch device.

    Notes
    -----
    A file of a metatomic model holds compiled code, which is executed: open only those of people
    you trust. CHGNet takes some 0.4 s for a frame of 400 atoms on one core.

    References
    ----------
    Deng et al., Nat. Mach. Intell. 5, 1031 (2023); metatomic: Bigi et al., J. Chem. Phys. (2026).
    """

    source = "the potential"

    def __init__(
        self, potential: Any = "chgnet", targets: TargetsLike = None, *, device: str = "cpu"
    ) -> None:
        self.potential = potential
        self.targets = targets
        self.device = device

    def _check(self) -> None:
        self._atom_features()

    def _vectors(
        self, trajectory: Trajectory, groups: list[np.ndarray]
    ) -> tuple[np.ndarray, list[str]]:
        beads = [n for n in np.unique(trajectory.species).tolist() if not 1 <= n <= LAST_ELEMENT]
        if beads:
            raise ValueError(f"a potential is for elements, got species {beads}")
        of_frame = self._atom_features()
        atoms = np.concatenate(groups)
        frames = [
            mean_over_targets(of_frame(trajectory, frame)[atoms], groups)
            for frame in range(len(trajectory))
        ]
        name = self.potential if isinstance(self.potential, str) else "potential"
        label = os.path.basename(name)
        features = np.stack(frames).astype(np.float32)
        return features, [f"{label} {i}" for i in range(features.shape[2])]

    def _atom_features(self) -> AtomFeatures:
        """The function behind the potential.

        Raises
        ------
        ImportError
            If its package is missing; the message names the extra.
        """
        if isinstance(self.potential, str) and self.potential == "chgnet":
            return _chgnet(self.device)
        return _metatomic(self.potential, self.device)


def _structure(trajectory: Trajectory, frame: int) -> Any:
    """A frame as `ase.Atoms`."""
    from ase import Atoms

    cells = trajectory.cells
    periodic = {} if cells is None else {"cell": cells[frame], "pbc": True}
    return Atoms(trajectory.species, positions=trajectory.positions[frame], **periodic)


@lru_cache(maxsize=2)
def _chgnet(device: str) -> AtomFeatures:
    """Atom features of CHGNet before its last layer."""
    try:
        from chgnet.model import CHGNet
        from pymatgen.core import Lattice, Structure
    except ImportError as error:
        raise missing("chgnet", 'PotentialFeaturizer("chgnet")') from error
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies, about their next versions
        model = CHGNet.load(use_device=device, verbose=False)

    def features(trajectory: Trajectory, frame: int) -> np.ndarray:
        if trajectory.cells is None:
            raise ValueError(
                "CHGNet needs a periodic system, got a trajectory without a cell; give cell="
            )
        structure = Structure(
            Lattice(trajectory.cells[frame]),
            trajectory.species.tolist(),
            trajectory.positions[frame],
            coords_are_cartesian=True,
        )
        graph = model.graph_converter(structure)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Any = model.predict_graph(graph, task="e", return_atom_feas=True)
        return np.asarray(found["atom_fea"])

    return features


def _metatomic(potential: Any, device: str) -> AtomFeatures:
    """Features per atom of a metatomic model."""
    try:
        with warnings.catch_warnings():
            # torch deprecates a compiler that metatomic needs
            warnings.simplefilter("ignore", DeprecationWarning)
            from metatomic.torch import ModelOutput
            from metatomic_ase import MetatomicCalculator
    except ImportError as error:
        raise missing(
            "metatomic",
            f"PotentialFeaturizer of {potential!r}, a metatomic model,",
            'give "chgnet"',
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own names, some of which are to change
        try:
            calculator = MetatomicCalculator(potential, device=device, neighbor_skin=0.0)
        except Exception as error:  # whatever reading such a file runs into
            raise ValueError(
                f'potential must be "chgnet", or a metatomic model or the path of one, got '
                f"{potential!r} ({type(error).__name__}: {error})"
            ) from error
    offered = calculator.model().capabilities().outputs
    names = [name for name in ("features", "feature") if name in offered]
    if not names:
        raise ValueError(
            f"potential must be a metatomic model with an output features, got one with "
            f"{sorted(offered)}; export it with that output"
        )
    output = ModelOutput(sample_kind="atom")

    def features(trajectory: Trajectory, frame: int) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = calculator.run_model(_structure(trajectory, frame), {names[0]: output})
        (block,) = found[names[0]].blocks()
        atoms = block.samples.column("atom").cpu().numpy()
        vectors = block.values.detach().cpu().numpy().reshape(len(atoms), -1)
        return vectors[np.argsort(atoms)]

    return features
