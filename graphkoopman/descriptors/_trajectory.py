"""`FeatureTrajectory`: a vector per target and frame, and `FeatureBatch`, some of its frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from graphkoopman.checks import check_integer, check_number
from graphkoopman.samples import (
    FRAME,
    OF_A_RUN,
    SYSTEM,
    Column,
    ColumnSamples,
    tensors_to,
)
from graphkoopman.storage import FileKind
from graphkoopman.tables import html_table

if TYPE_CHECKING:
    import torch

FEATURES = FileKind("graphkoopman-features", 1, "feature file", "delete it and featurize again")
SHOWN = 5  # names of features in a notebook
COST_OF_A_NUMBER = 1 / 16  # of an edge, whose vectors are 16 long by default


@dataclass(frozen=True, eq=False, repr=False)
class FeatureTrajectory(ColumnSamples):
    """Features of every target in every frame, made by hand or by another program.

    Parameters
    ----------
    features : array-like of shape (n_frames, n_targets, n_features)
        Finite real numbers; float32 and float64 are kept, integers become float32.
    timestep : float
        ps per frame.
    names : sequence of n_features str or None
        Names of the features; None numbers them.
    target_atoms : array-like of int or None
        Atoms of all targets, for folds over targets.
    parent, start : str or None, int
        The run this is a piece of, and the frame of the run it starts at.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> from graphkoopman.descriptors import FeatureTrajectory
    >>> run = FeatureTrajectory(np.zeros((100, 8, 3)), timestep=0.5)
    >>> run
    FeatureTrajectory(100 frames of 0.5 ps, 8 targets, 3 features, 0.0 MiB)
    >>> len(run[10:30]), run[10:30].start
    (20, 10)
    """

    features: np.ndarray
    timestep: float = field(kw_only=True)
    names: np.ndarray | None = field(default=None, kw_only=True)
    target_atoms: np.ndarray | None = field(default=None, kw_only=True)
    parent: str | None = field(default=None, kw_only=True)
    start: int = field(default=0, kw_only=True)

    columns: ClassVar = (
        Column("features", FRAME, "f", (None, None)),
        Column("names", SYSTEM, "U", optional=True),
        Column("target_atoms", SYSTEM, "iu", optional=True),
    )
    scalars: ClassVar = OF_A_RUN
    file: ClassVar = FEATURES
    made_by: ClassVar = "FunctionFeaturizer"

    def __post_init__(self) -> None:
        features = np.asarray(self.features)
        if features.dtype.kind not in "biuf":
            raise TypeError(f"features must be real numbers, got dtype {features.dtype}")
        if features.ndim != 3 or 0 in features.shape[1:]:
            raise ValueError(
                f"features must have shape (n_frames, n_targets, n_features), got "
                f"{features.shape}; give one target an axis of length one"
            )
        if features.dtype not in (np.float32, np.float64):
            features = features.astype(np.float32)
        names, atoms = self.names, self.target_atoms
        if names is not None:
            names = np.asarray(names, dtype=str)
            if names.shape != features.shape[2:]:
                raise ValueError(
                    f"names must hold one per feature ({features.shape[2]}), got {names.shape}"
                )
            if len(set(names.tolist())) < len(names):
                raise ValueError(f"names must differ, got {names.tolist()}")
        # a dataclass that is frozen can be completed in no other way
        for name, value in (
            ("features", features),
            ("names", names),
            ("target_atoms", None if atoms is None else np.asarray(atoms)),
            ("timestep", check_number(self.timestep, "timestep", above=0.0)),
            ("start", check_integer(self.start, "start", 0)),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def n_targets(self) -> int:
        """Number of targets per frame."""
        return self.features.shape[1]

    @property
    def n_features(self) -> int:
        """Length of a vector."""
        return self.features.shape[2]

    @property
    def n_hops(self) -> int:
        """There are no neighbours to look at."""
        return 0

    @property
    def offers(self) -> frozenset[str]:
        """What an encoder can read."""
        return frozenset({"features"})

    @property
    def species(self) -> np.ndarray:
        """What the inputs are: the columns of the features, by name or number, (n_features,)."""
        return np.arange(self.n_features) if self.names is None else self.names

    @property
    def cost(self) -> float:
        """Work of a forward pass over a frame, in edges of a graph."""
        return COST_OF_A_NUMBER * self.n_targets * self.n_features

    def batch(
        self, frames: np.ndarray, species_rows: np.ndarray, n_hops: int, *, pin_memory: bool = False
    ) -> "FeatureBatch":
        """Some frames as one batch on the CPU.

        Parameters
        ----------
        frames : ndarray of shape (n_frames,), int
        species_rows : ndarray of shape (n_features,), int
            Place of each column in that which the encoder was built for.
        n_hops : int
            Ignored.
        pin_memory : bool
            Into memory that a GPU reads by itself.

        Returns
        -------
        FeatureBatch

        Raises
        ------
        ValueError
            If a feature is not finite.
        """
        import torch

        chosen = self.features[frames].reshape(-1, self.n_features)
        vectors = torch.empty(chosen.shape, dtype=torch.float32, pin_memory=pin_memory)
        vectors.numpy()[:, species_rows] = chosen
        if not torch.isfinite(vectors).all():
            raise ValueError(
                "features must be finite numbers of float32, got NaN or infinity in one of the "
                "frames; repair or drop them"
            )
        return FeatureBatch(vectors, n_frames=len(frames), n_targets=self.n_targets)

    def still_targets(self) -> list[int]:
        """Targets whose features are the same in every frame."""
        still = np.ones(self.n_targets, bool)
        for frame in self.features[1:]:
            still &= np.all(frame == self.features[0], axis=1)
            if not still.any():
                return []
        return np.flatnonzero(still).tolist() if len(self) > 1 else []

    def __repr__(self) -> str:
        return (
            f"FeatureTrajectory({len(self)} frames of {self.timestep:g} ps, {self.n_targets} "
            f"targets, {self.n_features} features, {self.nbytes / 2**20:.1f} MiB)"
        )

    def _repr_html_(self) -> str:
        names = "" if self.names is None else ": " + ", ".join(map(str, self.names[:SHOWN]))
        more = ", …" if self.names is not None and len(self.names) > SHOWN else ""
        rows = [
            ["frames", f"{len(self)}, {self.timestep:g} ps apart"],
            ["targets", f"{self.n_targets}"],
            ["features", f"{self.n_features}{names}{more}"],
            ["memory / MiB", f"{self.nbytes / 2**20:.1f}"],
        ]
        return html_table(["FeatureTrajectory", ""], rows)

    @classmethod
    def check_columns(cls, arrays: Mapping[str, Any], scalars: Mapping[str, Any]) -> None:
        """Names against features."""
        names = arrays["names"]
        if len(arrays["features"]) < 1 or 0 in arrays["features"].shape:
            raise ValueError(f"features have shape {arrays['features'].shape}")
        if names is not None and names.shape != arrays["features"].shape[2:]:
            raise ValueError("names do not fit to features")


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """Features of several frames.

    Attributes
    ----------
    features : Tensor of shape (n_frames * n_targets, n_features), float32
        Of all targets of the first frame, then of the second, …
    n_frames, n_targets : int
    """

    features: "torch.Tensor"
    n_frames: int
    n_targets: int

    @property
    def n_target_atoms(self) -> int:
        """Number of vectors: one per target."""
        return self.n_frames * self.n_targets

    @property
    def target_of_atom(self) -> None:
        """Every vector is that of a target."""
        return None

    def to(self, device: "torch.device | str") -> "FeatureBatch":
        """Copy on a device; from pinned memory it does not wait for the copy."""
        return tensors_to(self, device)
