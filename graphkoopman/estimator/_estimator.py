"""`GDyNetEstimator`: the network as a scikit-learn estimator with deeptime results."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from graphkoopman.callbacks import CallbackSupport, with_callbacks
from graphkoopman.checks import check_integer
from graphkoopman.estimator._build import sample_data, set_parts
from graphkoopman.estimator._checks import (
    check_alike,
    check_encoder,
    check_input,
    check_lagtime,
    check_same_kind,
    check_same_settings,
    check_samples,
    check_training_data,
)
from graphkoopman.estimator._fit import fit_network
from graphkoopman.estimator._gap import check_gap, frame_ranges
from graphkoopman.estimator._lags import LagsMet
from graphkoopman.estimator._model_file import fitted_source, read_estimator, write_estimator
from graphkoopman.estimator._models import models_at
from graphkoopman.estimator._refits import refits_of
from graphkoopman.koopman import BootstrapKoopmanModel, KoopmanModel, StateMap
from graphkoopman.lobes import (
    AttentionPooling,
    Encoder,
    FeatureEncoder,
    GatedEncoder,
    GDyNetLobe,
    MeanPooling,
    Pooling,
)
from graphkoopman.randomness import RandomState
from graphkoopman.ranks import agree, joined
from graphkoopman.samples import SamplesLike, class_name, join_adjacent_samples
from graphkoopman.training import Interruption, SampleData, all_frames, evaluate, share_runs

# what None may stand for
DEFAULT_PARTS: dict[str, tuple[type, ...]] = {
    "encoder": (GatedEncoder, FeatureEncoder),
    "pooling": (MeanPooling, AttentionPooling),
}
MODEL_FILE = "model.safetensors"


# One record for all estimators of a process: a search scores clones, each of which is new.
LAGS_MET = LagsMet()


class GDyNetEstimator(CallbackSupport, TransformerMixin, BaseEstimator):
    """Graph dynamical network: learn states and their exchange from graphs or features.

    A graph network χ maps every target's neighbourhood to state probabilities and is trained with
    a VAMP score so that ``χ(t + τ) ≈ Kᵀ χ(t)``, eqs. (2) and (5). The score does not see affine
    mixing of the states; after training they are therefore fixed to the crispest memberships in
    the learned space (see `graphkoopman.koopman.identify_states`), ordered by falling population.

    Parameters
    ----------
    n_states : int
        Number of states, at least 2.
    lagtime : int
        Lag τ in frames.
    encoder : Encoder, Module or None
        Settings of the part of the network that sees a target atom's surroundings, or a torch
        module in its place, which is copied and never trained in place. None is
        `graphkoopman.lobes.GatedEncoder` for graphs and `graphkoopman.lobes.FeatureEncoder` for
        features, or what ``init_from`` has.
    pooling : Pooling, Module or None
        Settings of the part that makes one vector of the atoms of a target, or a module. None is
        `graphkoopman.lobes.MeanPooling`, or what ``init_from`` has.
    n_hidden : int
        Width of the head's hidden layer.
    objective : {"VAMP1", "VAMP2", "VAMPE"} or sequence of them
        Score to maximise once the subspace of the states is found, see Notes; a sequence trains in
        stages, ``("VAMP2", "VAMP1", "VAMP2")`` is the schedule of the authors' code.
    learning_rate : float
        Step size of Adam, for all layers, at the height of a cycle; the subspace takes 15 times
        as much.
    max_epochs, patience : int
        Most epochs of a stage, each of ten updates, and epochs of a cycle. The rate rises and falls
        in every cycle; a stage ends with a cycle that has not raised the score by more than the
        statistical error of the difference.
    batch_size : int, "auto" or None
        Frames that make one VAMP estimate (about). None takes all training frames, the paper's
        "single VAMP-2 score over the whole trajectory". "auto" takes about 5000 samples, fewer
        where fields are large, spread over all training time as far as one lag apart allows.
    chunk_size : int, str or None
        Frames per forward pass, or the memory that one may take, such as ``"2 GiB"``; results do
        not depend on it. None measures what a pass takes and stays within half of the memory that
        is free. Where memory runs out in spite of that, chunks are halved and computed again.
    n_init : int
        Starts; all train their subspace for one cycle, each on four fifths of the frames drawn for
        it, and are compared on one set of frames. The best goes on with all frames.
    checkpoint_dir : path or None
        Folder for the state of the training, from which `fit` continues by itself; a finished one
        gives its result at once, one of other settings or data is refused. A minute of work is lost
        at most. See Notes.
    reversible : bool
        Estimate Koopman matrices under detailed balance.
    init_from : GDyNetEstimator, path or None
        A fitted estimator, or the file of one, whose weights training starts from, see Notes.
    freeze : {None, "encoder"}
        "encoder" leaves encoder and pooling as they are at the start and trains the head only.
    device : str
        "auto" takes a GPU where there is one, else any torch device.
    random_state : int, RandomState, Generator or None
        Seed of everything random; None draws fresh entropy. The global generators of numpy and
        torch are left alone.
    verbose : bool
        Show a progress bar with the scores.

    Attributes
    ----------
    lobe_ : GDyNetLobe
        The trained network.
    encoder_, pooling_ : Encoder or Module, Pooling or Module
        What it was built from.
    n_hops_ : int
        Hops that graphs must have.
    state_map_ : StateMap
        The map from its outputs to the states.
    clipped_mass_ : float
        Mean part of a membership that was cut off to stay non-negative, at most 0.02; what crisp
        states would need is ``state_map_.overlap``.
    model_ : KoopmanModel
        Model of all frames seen by `fit`.
    validation_score_ : float
        VAMP-2 of the best start on its validation blocks, a fifth of the frames in contiguous
        stretches that no update saw until then; at most ``n_states``.
    history_ : list of dict
        One row per epoch of the start that went on, then of the training on all frames, which has
        no validation score (NaN): scores, sample size, learning rate, seconds.
    n_iter_, converged_ : int, bool
        Number of epochs, and whether training stopped by itself.
    agreement_ : float
        Median of Cohen's κ between the states of the good starts, matched, on all frames: good
        ones are within the error of the difference, or 5 %, of the best, and with a single good one
        the next best is compared. The median between them and the states in the end where that is
        lower. NaN with one start.
    start_scores_ : ndarray of shape (n_init,)
        Score of every start on the frames that they were compared on, those that any of them held
        out; of a single one its validation score.
    species_, timestep_ : ndarray, float
        Kinds of atoms, or names of the columns of features, and ps per frame, of the samples in
        training.
    kind_ : dict
        Class and settings that all samples must share with those in training.
    n_neighbors_, cutoff_ : int or None, float or None
        M or the cutoff (Å) of the graphs in training.
    n_per_species_ : int
        Of the graphs in training.
    training_frames_ : list of (str, int, int)
        Run, first frame and end of every stretch of a named run in training.

    Notes
    -----
    Training begins in front of the softmax, with the best linear functions of the head's hidden
    layer, and makes states of them afterwards: a softmax that has lost a state does not find it
    again. On one machine and number of threads the same seed gives the same numbers; others change
    the last bits, which training amplifies. There is no sample_weight: all pairs count alike.

    With ``init_from``, vectors of species are copied by atomic number or label and other weights by
    their place in the network; species and layers that are not in there start from random weights.
    The head is copied where it has the same sizes, and kept if its states score higher on the
    held-out frames than those of a new linear start.

    With a ``checkpoint_dir``, SIGINT and SIGTERM in the main thread end the training after the step
    under way. The state is saved, the best network so far makes the fitted estimator, with a
    warning, and is written to ``checkpoint_dir/model.safetensors``, as that of a finished fit is.
    SIGINT (control-C) then ends; SIGTERM is raised again. A second signal acts at once.

    References
    ----------
    Xie et al., Nat. Commun. 10, 2667 (2019); Mardt et al., Nat. Commun. 9, 5 (2018).

    Examples
    --------
    >>> from graphkoopman import GDyNetEstimator, GraphFeaturizer
    >>> from graphkoopman.datasets import chain_rates, make_hopping
    >>> data = make_hopping(chain_rates(2, slowest=20.0), 600, random_state=0)
    >>> graphs = GraphFeaturizer(n_neighbors=8, n_hops=1).fit_transform(data.trajectory)
    >>> from graphkoopman.lobes import GatedEncoder
    >>> estimator = GDyNetEstimator(
    ...     2, 5, encoder=GatedEncoder(n_conv=1), random_state=0
    ... ).fit(graphs)
    >>> estimator.transform(graphs)[0].shape
    (600, 8, 2)
    """

    if TYPE_CHECKING:  # set by fit
        lobe_: GDyNetLobe
        encoder_: Encoder | torch.nn.Module
        pooling_: Pooling | torch.nn.Module
        n_hops_: int
        kind_: dict[str, Any]
        species_: np.ndarray
        timestep_: float
        training_frames_: list[tuple[str, int, int]]
        state_map_: StateMap
        clipped_mass_: float
        model_: KoopmanModel
        validation_score_: float
        history_: list[dict[str, Any]]
        n_iter_: int
        converged_: bool
        agreement_: float

    # Pipeline.score always passes one on when metadata routing is enabled; None is no request
    __metadata_request__score: ClassVar = {"sample_weight": None}

    def __init__(
        self,
        n_states: int = 2,
        lagtime: int = 1,
        *,
        encoder: Encoder | torch.nn.Module | None = None,
        pooling: Pooling | torch.nn.Module | None = None,
        n_hidden: int = 16,
        objective: str | Sequence[str] = "VAMP2",
        learning_rate: float = 1e-3,
        max_epochs: int = 60,
        patience: int = 12,
        batch_size: int | str | None = "auto",
        chunk_size: int | str | None = None,
        n_init: int = 3,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        reversible: bool = False,
        init_from: "GDyNetEstimator | Pipeline | str | os.PathLike[str] | None" = None,
        freeze: str | None = None,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        self.n_states = n_states
        self.lagtime = lagtime
        self.encoder = encoder
        self.pooling = pooling
        self.n_hidden = n_hidden
        self.objective = objective
        self.learning_rate = learning_rate
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.chunk_size = chunk_size
        self.n_init = n_init
        self.checkpoint_dir = checkpoint_dir
        self.reversible = reversible
        self.init_from = init_from
        self.freeze = freeze
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(self, X: SamplesLike, y: object = None) -> "GDyNetEstimator":
        """Train the network, fix the states, estimate the Koopman model.

        Parameters
        ----------
        X : Samples or list of Samples
            Graphs (`GraphTrajectory`), features (`FeatureTrajectory`) or samples of one's own.
            Adjacent pieces of one run are joined, so that no lagged pair is lost. In an initialised
            ``torch.distributed`` group those of this rank, of which there may be none: all ranks
            call it, and all get the model of a process that has the samples of rank 0, then those
            of rank 1, and so on. See docs/scaling.md.
        y : None
            Ignored.

        Returns
        -------
        GDyNetEstimator
            Itself.

        Raises
        ------
        ValueError
            If a setting, the samples or the lag cannot work.
        RankError
            If another process of the group has ended, failed or no longer answers.

        Warns
        -----
        ConvergenceWarning
            If epochs ran out while the score still rose, starts disagree, held-out frames show
            fewer processes than states need, or the states overlap.
        BeyondDataWarning, FixedStateWarning
            If a relaxation time is longer than the longest run; if states tell kinds of targets
            apart.
        """
        with joined() as reducer:
            several = reducer.size > 1
            given = agree(reducer, lambda: check_input(self, X, may_be_empty=several))
            samples = share_runs(given, reducer)
            if several:
                check_alike(samples)
                check_same_settings(self, reducer)
            source = agree(reducer, lambda: fitted_source(self.init_from, type(self)))
            set_parts(self, samples, source)
            check_encoder(samples, self)
            check_training_data(samples, self.n_states, self.lagtime)
            self.kind_ = {"class": class_name(samples[0]), **samples[0].kind}
            self.species_ = np.unique(np.concatenate([item.species for item in samples]))
            self.timestep_ = float(samples[0].timestep)
            self.training_frames_ = frame_ranges(samples)
            with Interruption(self.checkpoint_dir is not None) as interruption:
                fit_network(self, samples, source, interruption, reducer)
                if self.checkpoint_dir is not None and reducer.rank == 0:
                    self.save(Path(self.checkpoint_dir) / MODEL_FILE)
        return self

    def transform(self, X: SamplesLike) -> list[np.ndarray]:
        """Probabilities of the states.

        Parameters
        ----------
        X : Samples or list of Samples

        Returns
        -------
        list of ndarray of shape (n_frames, n_targets, n_states), float64
            Rows sum to one.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the samples have too few hops, other neighbours than those in training, or node
            types unknown to the network.
        """
        check_is_fitted(self)
        data = self._data(X)
        probabilities = []
        for i, item in enumerate(data.samples):
            features = evaluate(data, all_frames(i, len(item)), self.lobe_).numpy()
            memberships = self.state_map_(features)
            probabilities.append(memberships.reshape(len(item), item.n_targets, self.n_states))
        return probabilities

    def transform_refits(self, X: SamplesLike, n_refits: int) -> list[list[np.ndarray]]:
        """Probabilities of the states from this network, and from trainings on half of the data.

        Whatever takes probabilities takes this list in their place: its result is that of the
        fitted network, and its intervals hold the spread over the refits.

        Parameters
        ----------
        X : GraphTrajectory or list of GraphTrajectory
            Usually that of `fit`: refits learn from it.
        n_refits : int
            Each starts from the weights of this network, learns from half of the time blocks with
            other random numbers, and gets its states in the order of the fitted ones.

        Returns
        -------
        list of n_refits + 1 lists of ndarray of shape (n_frames, n_targets, n_states)
            `transform` of this estimator first.

        Notes
        -----
        A random half differs from all data as much as all data from others of the same length, so
        the refits spread as networks do that learned from other data. They stay near the fitted
        network; where another start finds other states (``n_init`` helps), none of them knows.
        """
        check_is_fitted(self)
        check_integer(n_refits, "n_refits", 0)
        samples = check_samples(X)
        probs = self.transform(samples)
        return [probs, *refits_of(self, samples, probs, n_refits)]

    def predict(self, X: SamplesLike) -> list[np.ndarray]:
        """Most probable state of every target in every frame.

        Parameters
        ----------
        X : Samples or list of Samples

        Returns
        -------
        list of ndarray of shape (n_frames, n_targets), int
        """
        return [probabilities.argmax(axis=-1) for probabilities in self.transform(X)]

    def score(self, X: SamplesLike, y: object = None) -> float:
        """VAMP-2 of the states at the estimator's lag, counted with the constant.

        Parameters
        ----------
        X : Samples or list of Samples
        y : None
            Ignored.

        Returns
        -------
        float
            Between 1 and ``n_states``. Scores at different lags are not comparable.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If samples are no training data, but within a lag of it: the split has too small a gap.

        Warns
        -----
        MixedLagWarning
            If an estimator with another lag was scored on these data before, as in a search over
            ``lagtime``.
        """
        check_is_fitted(self)
        check_gap(self, check_samples(X))
        samples = join_adjacent_samples(check_samples(X))
        check_lagtime(samples, self.lagtime)
        remedy = "pass scoring=KoopmanScorer('vamp2', lagtime={lag})"
        LAGS_MET.check(samples, self.lagtime, remedy, stacklevel=2)
        (model,) = models_at(self, samples, [self.lagtime], with_limits=False)
        return float(model.score(2))

    def fetch_model(self) -> KoopmanModel:
        """Koopman model of the frames seen by `fit`; deeptime's spelling of ``model_``."""
        check_is_fitted(self)
        return self.model_

    def koopman_model(
        self, X: SamplesLike, lagtime: int | None = None, n_bootstrap: int = 0, n_refits: int = 0
    ) -> KoopmanModel | BootstrapKoopmanModel:
        """Koopman model of any data with the trained states; no gap to training data is asked for.

        Parameters
        ----------
        X : Samples or list of Samples
        lagtime : int or None
            Frames; None takes the estimator's.
        n_bootstrap : int
            Number of bootstrap samples; 0 returns a plain `KoopmanModel`, or 200 with refits.
        n_refits : int
            Number of trainings on half of ``X`` each, see `transform_refits`; their spread is then
            part of every interval.

        Returns
        -------
        KoopmanModel or BootstrapKoopmanModel
        """
        lags = [self.lagtime if lagtime is None else lagtime]
        return self.koopman_models(X, lags, n_bootstrap, n_refits)[0]

    def koopman_models(
        self, X: SamplesLike, lagtimes: Sequence[int], n_bootstrap: int = 0, n_refits: int = 0
    ) -> list[KoopmanModel] | list[BootstrapKoopmanModel]:
        """Models at several lags, for `deeptime.util.validation.implied_timescales` and `ck_test`.

        Parameters
        ----------
        X : Samples or list of Samples
        lagtimes : sequence of int
            Frames.
        n_bootstrap : int
            Number of bootstrap samples per lag.
        n_refits : int
            Number of trainings on half of ``X`` each, the same for all lags.

        Returns
        -------
        list of KoopmanModel or of BootstrapKoopmanModel
        """
        samples = join_adjacent_samples(check_samples(X))
        for lagtime in lagtimes:
            check_lagtime(samples, lagtime)
        check_integer(n_refits, "n_refits", 0)
        return models_at(self, samples, lagtimes, n_bootstrap, n_refits)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write settings, network, states and model to one safetensors file with a JSON header.

        Parameters
        ----------
        path : path
            Written beside itself first and then renamed, so an older file survives a failure.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        write_estimator(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "GDyNetEstimator":
        """Read a file written by `save`; nothing in it is ever executed.

        Parameters
        ----------
        path : path

        Returns
        -------
        GDyNetEstimator

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not one of ours, damaged, or of a newer version.
        """
        return read_estimator(path, cls)

    def pooling_weights(self, X: SamplesLike) -> list[np.ndarray]:
        """Share of every atom in the vector of its target, as `AttentionPooling` learned it.

        Parameters
        ----------
        X : Samples or list of Samples

        Returns
        -------
        list of ndarray of shape (n_frames, n_target_atoms), float64
            The shares of a target's atoms sum to one; atoms in the order of
            ``samples.target_atoms``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the pooling has no weights, or as `transform`.
        """
        check_is_fitted(self)
        pooling: Any = self.lobe_.pooling
        if not hasattr(pooling, "weights"):
            raise ValueError(f"{type(pooling).__name__} has no method weights to read")

        data = self._data(X)
        shares: list[np.ndarray] = []
        for i, item in enumerate(data.samples):
            chunks = np.array_split(np.arange(len(item)), -(-len(item) // data.frames_per_chunk(i)))
            with torch.no_grad():
                batches = (data.batch(i, frames).to(data.device) for frames in chunks)
                found = [pooling.weights(self.lobe_.encoder(b), b).cpu() for b in batches]
            shares.append(torch.cat(found).double().numpy().reshape(len(item), -1))
        return shares

    def _data(self, X: SamplesLike) -> SampleData:
        """Samples that have been checked, with the species of the network."""
        samples = check_input(self, X)
        check_encoder(samples, self)
        check_same_kind(samples, self)
        return sample_data(self, samples)

    def set_params(self, **params: Any) -> "GDyNetEstimator":
        """Set parameters; ``encoder__name`` and ``pooling__name`` those of the parts.

        Parameters
        ----------
        **params
            Where ``encoder`` is None, a setting of one makes it the default part that has it, and
            the same of ``pooling``.

        Returns
        -------
        GDyNetEstimator
            Itself.
        """
        for kind, defaults in DEFAULT_PARTS.items():
            names = {name.split("__")[1] for name in params if name.startswith(f"{kind}__")}
            if names and getattr(self, kind) is None and kind not in params:
                known = [part for part in defaults if names <= set(part().get_params())]
                setattr(self, kind, (known or defaults)[0]())
        return super().set_params(**params)

    def __sklearn_clone__(self) -> "GDyNetEstimator":
        bare = copy.copy(self)
        bare.init_from = None
        cloned = super(GDyNetEstimator, bare).__sklearn_clone__()
        cloned.init_from = self.init_from  # a clone of it would have nothing to start from
        return cloned

    @property
    def n_neighbors_(self) -> int | None:
        """M of the graphs in training."""
        return self._of_kind("n_neighbors")

    @property
    def cutoff_(self) -> float | None:
        """Å, of the graphs in training."""
        return self._of_kind("cutoff")

    @property
    def n_per_species_(self) -> int:
        """Neighbours of every node type at least, of the graphs in training."""
        n: int = self._of_kind("n_per_species")
        return n

    def _of_kind(self, name: str) -> Any:
        kind = vars(self).get("kind_", {})
        if name not in kind:
            raise AttributeError(f"{name}_ is known after a fit to graphs")
        return kind[name]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "state_map_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags


# what takes an estimator also takes a pipeline that ends in one
EstimatorLike: TypeAlias = GDyNetEstimator | Pipeline
