"""scikit-learn's contract for every estimator of the package: our checks and scikit-learn's own.

The lists at the end name every check of scikit-learn that does not run here, and why.
"""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from estimator_checks import estimator_checks
from sklearn.base import BaseEstimator, clone
from sklearn.utils.estimator_checks import estimator_checks_generator
from small_fits import make_estimator, make_featurizer

import graphkoopman
from graphkoopman.datasets import chain_rates, make_hopping
from graphkoopman.descriptors import (
    FeatureReducer,
    FunctionFeaturizer,
    PotentialFeaturizer,
    SOAPFeaturizer,
)
from graphkoopman.generation import EnvironmentDecoder
from graphkoopman.lobes import (
    AttentionPooling,
    FeatureEncoder,
    GatedEncoder,
    HierarchicalPooling,
    MeanPooling,
    PaiNNEncoder,
    SchNetEncoder,
)

# fits are as short as can be on purpose
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def estimators():
    """One small instance of every public estimator, and of one with every other part."""
    return [
        make_estimator(),
        make_estimator(pooling=AttentionPooling(3, n_heads=2)),
        make_estimator(pooling=HierarchicalPooling(window=2)),
        *with_encoders(
            SchNetEncoder(1, 3, n_basis=4),
            PaiNNEncoder(1, 3, n_basis=4),
            GatedEncoder(1, 3, handedness=True, axis=(0, 0, 1)),
            FeatureEncoder(1, 3),
        ),
        make_featurizer(),
        FunctionFeaturizer(centers),
        SOAPFeaturizer(n_max=1, l_max=1, r_cut=3.0),
        PotentialFeaturizer("chgnet"),
        FeatureReducer(2),
    ]


def with_encoders(*encoders):
    """Of other encoders, the variance beside the mean; as short as training can be."""
    pooling = MeanPooling(variance=True)
    return [
        make_estimator(encoder=encoder, pooling=pooling, n_hidden=4, max_epochs=1)
        for encoder in encoders
    ]


def centers(trajectory, targets):
    return np.stack([trajectory.positions[:, atoms].mean(axis=1) for atoms in targets], axis=1)


def radii(trajectory, targets):
    """Distances to the four nearest atoms; the first atom of a target."""
    arms = trajectory.positions[:, None] - trajectory.positions[:, [t[0] for t in targets], None]
    return np.sort(np.linalg.norm(arms, axis=-1), axis=-1)[..., 1:5]


@pytest.fixture(scope="module")
def runs():
    """Three runs of different lengths."""
    rates = chain_rates(2, slowest=20.0)
    return [
        make_hopping(rates, n_frames, random_state=n_frames).trajectory for n_frames in (60, 80, 70)
    ]


@pytest.fixture(scope="module")
def samples(runs):
    # one cage, for descriptors that take their time
    rates = chain_rates(2, slowest=20.0)
    small = [
        make_hopping(rates, n, n_targets=1, n_ligands=4, random_state=n).trajectory
        for n in (2, 4, 3)
    ]
    return {
        "distance": make_featurizer().transform(runs),
        "direction": make_featurizer().set_params(directions=True).transform(runs),
        "features": FunctionFeaturizer(radii).transform(runs),
        "GraphFeaturizer": runs,
        "FunctionFeaturizer": runs,
        "SOAPFeaturizer": small,
        "PotentialFeaturizer": small,
        "FeatureReducer": FunctionFeaturizer(centers).transform(runs),
    }


def name_of_samples(estimator):
    """What an estimator takes: by what its encoder reads, otherwise by its class."""
    encoder = getattr(estimator, "encoder", None)
    if encoder is None:
        return type(estimator).__name__
    return max(encoder.needs, key=("distance", "direction", "features").index)


# What happens around the network, whichever it is: seven estimators would be asked the same.
AROUND_THE_NETWORK = {
    "check_every_parameter_is_documented",
    "check_fit_returns_self",
    "check_fit_sets_public_attributes_with_underscore",
    "check_fit_leaves_data_alone",
    "check_unfitted_raises",
    "check_one_output_per_trajectory",
    "check_one_trajectory_is_a_list_of_one",
    "check_global_generators_are_left_alone",
    "check_y_is_ignored",
    "check_containers_are_accepted",
    "check_bad_input_raises",
    "check_random_state_kinds",
    "check_set_output_is_left_alone",
    "check_tags_tell_the_truth",
    "check_sample_weight_is_refused",
    "check_callbacks_are_told",
}


def checks_of(estimator):
    """Every check, or with an encoder of another kind those that its network has a part in."""
    checks = estimator_checks(estimator)
    other = type(getattr(estimator, "encoder", None)) is not GatedEncoder
    if not (hasattr(estimator, "encoder") and (other or estimator.encoder.handedness)):
        return checks
    return [check for check in checks if check.__name__ not in AROUND_THE_NETWORK]


# fit takes probabilities and targets beside the trajectories, which scikit-learn's checks do not
# have; parameters, clone and pickle are tested in test_generation_decoder.py
OTHER_FIT = {EnvironmentDecoder}


def test_every_estimator_of_the_package_is_checked():
    found = set()
    for module in pkgutil.walk_packages(graphkoopman.__path__, "graphkoopman."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            ours = kind.__module__.startswith("graphkoopman") and not kind.__name__.startswith("_")
            # parts of the network have parameters but nothing to fit
            if not ours or inspect.isabstract(kind):
                continue
            if issubclass(kind, BaseEstimator) and hasattr(kind, "fit"):
                found.add(kind)
    assert found == {type(estimator) for estimator in estimators()} | OTHER_FIT


@pytest.mark.parametrize(
    ("estimator", "check"),
    [(estimator, check) for estimator in estimators() for check in checks_of(estimator)],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_own_checks(estimator, check, samples):
    check(clone(estimator), list(samples[name_of_samples(estimator)]))


def twin(estimator):
    """The estimator as if it took 2-D arrays, for which scikit-learn has all its checks."""

    class Twin(type(estimator)):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.input_tags.two_d_array = True
            return tags

    return Twin(**estimator.get_params(deep=False))


def name_of(check):
    return getattr(check, "func", check).__name__


def sklearn_checks(estimator):
    return {name_of(check): check for _, check in estimator_checks_generator(twin(estimator))}


@pytest.mark.parametrize("estimator", estimators(), ids=lambda value: type(value).__name__)
def test_every_check_of_sklearn_runs_or_has_a_reason_not_to(estimator):
    assert set(sklearn_checks(estimator)) <= RUN | set(EXEMPT)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [(estimator, name) for estimator in estimators() for name in sorted(sklearn_checks(estimator))],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_sklearn_checks(estimator, name):
    if name in RUN:
        sklearn_checks(estimator)[name](clone(estimator))
    else:
        assert EXEMPT[name]


# checks that need no data
RUN = {
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
}

TABLE = "feeds a 2-D array, and the samples are trajectories"
EXEMPT = {
    "check_array_api_input": "array namespaces have no trajectories",
    "check_complex_data": f"{TABLE}; check_bad_input_raises",
    "check_dict_unchanged": f"{TABLE}; check_methods_leave_estimator_alone",
    "check_dont_overwrite_parameters": f"{TABLE}; check_fit_leaves_parameters_alone",
    "check_dtype_object": f"{TABLE}; arrays of trajectories: check_containers_are_accepted",
    "check_estimator_sparse_array": "frames are no sparse matrix",
    "check_estimator_sparse_matrix": "frames are no sparse matrix",
    "check_estimator_sparse_tag": f"{TABLE}; check_tags_tell_the_truth",
    "check_estimators_dtypes": f"{TABLE}; see tests/test_trajectories.py",
    "check_estimators_empty_data_messages": f"{TABLE}; check_bad_input_raises",
    "check_estimators_fit_returns_self": f"{TABLE}; check_fit_returns_self",
    "check_estimators_nan_inf": f"{TABLE}; Trajectory refuses them (tests/test_trajectories.py)",
    "check_estimators_overwrite_params": f"{TABLE}; check_fit_leaves_parameters_alone",
    "check_estimators_pickle": f"{TABLE}; check_pickle_keeps_outputs",
    "check_estimators_unfitted": f"{TABLE}; check_unfitted_raises",
    "check_f_contiguous_array_estimator": f"{TABLE}",
    "check_fit1d": f"{TABLE}; check_bad_input_raises",
    "check_fit2d_1feature": f"{TABLE}",
    "check_fit2d_1sample": f"{TABLE}; check_one_trajectory_is_a_list_of_one",
    "check_fit2d_predict1d": f"{TABLE}",
    "check_fit_check_is_fitted": f"{TABLE}; check_unfitted_raises",
    "check_fit_idempotent": f"{TABLE}; check_refit_is_idempotent",
    "check_fit_score_takes_y": f"{TABLE}; check_y_is_ignored",
    "check_methods_sample_order_invariance": f"{TABLE}; check_trajectories_are_independent",
    "check_methods_subset_invariance": f"{TABLE}; check_trajectories_are_independent",
    "check_n_features_in": "trajectories have no number of features, n_features_in_ is not set",
    "check_n_features_in_after_fitting": "trajectories have no number of features",
    "check_pipeline_consistency": f"{TABLE}; tests/test_sklearn_tools.py",
    "check_positive_only_tag_during_fit": f"{TABLE}; check_tags_tell_the_truth",
    "check_readonly_memmap_input": f"{TABLE}; mapped graphs are tested in tests/test_graphs.py",
    "check_transformer_data_not_an_array": f"{TABLE}; check_containers_are_accepted",
    "check_transformer_general": f"{TABLE}; check_fit_transform",
    "check_transformer_n_iter": f"{TABLE}; n_iter_ in tests/test_estimator.py",
    "check_transformers_unfitted": f"{TABLE}; check_unfitted_raises",
    "check_transformers_unfitted_stateless": f"{TABLE}; check_tags_tell_the_truth",
}
