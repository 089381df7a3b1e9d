"""scikit-learn's contract for estimators whose samples are trajectories.

scikit-learn's own ``check_estimator`` feeds 2-D arrays and runs next to nothing on others. These
checks ask the same of an estimator on a list of trajectories: `estimator_checks` yields those that
apply. Each raises where the estimator breaks its promise, and has no other outcome.
"""

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

METHODS = ("transform", "predict", "score")
Check = Callable[[Any, list], None]


class Container:
    """A sequence that is neither list nor tuple, as a user's own collection of runs may be."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = list(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def estimator_checks(estimator: Any) -> Iterator[Check]:
    """Checks that apply to an estimator; call each with a fresh clone and a list of samples."""
    has_seed = "random_state" in estimator.get_params()
    for check in CHECKS:
        if check in NEED_FIT and not get_tags(estimator).requires_fit:
            continue
        if check in NEED_SEED and not has_seed:
            continue
        yield check


def same(a: Any, b: Any) -> bool:
    """Whether two outputs are equal to the last bit."""
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if is_dataclass(a):
        names = [field.name for field in fields(a)]
        return all(same(getattr(a, name), getattr(b, name)) for name in names)
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b))
    return bool(a == b)


def outputs(estimator: Any, X: Any) -> dict[str, Any]:
    """What every method of an estimator gives."""
    return {name: getattr(estimator, name)(X) for name in METHODS if hasattr(estimator, name)}


def expect(condition: bool, promise: str) -> None:
    if not condition:
        raise AssertionError(promise)


def expect_error(call: Callable[[], Any], kinds: tuple[type[Exception], ...], promise: str) -> str:
    """Message of the error that a call must raise."""
    try:
        call()
    except kinds as error:
        return str(error)
    raise AssertionError(promise)


def check_init_stores_arguments_only(estimator: Any, X: list) -> None:
    signature = inspect.signature(type(estimator).__init__)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    expect(not kinds & {2, 4}, "__init__ must not take *args or **kwargs")
    # objects of no meaning: nothing may look at them, convert them or copy them
    values = {name: object() for name in list(signature.parameters)[1:]}
    made = type(estimator)(**values)
    expect(vars(made) == values, "__init__ must store its arguments untouched and nothing else")


def check_params_round_trip(estimator: Any, X: list) -> None:
    params = estimator.get_params()
    expect(estimator.set_params(**params) is estimator, "set_params must return the estimator")
    after = estimator.get_params()
    expect(all(after[name] is params[name] for name in params), "set_params must store values")
    expect_error(
        lambda: estimator.set_params(no_such_parameter=1), (ValueError,), "unknown names must fail"
    )


def check_every_parameter_is_documented(estimator: Any, X: list) -> None:
    lines = (inspect.getdoc(type(estimator)) or "").splitlines()
    heads = [line.split(" : ")[0] for line in lines if " : " in line]
    documented = {name.strip() for head in heads for name in head.split(",")}
    missing = set(estimator.get_params(deep=False)) - documented
    expect(not missing, f"parameters without a line in the docstring: {missing}")


def check_fit_returns_self(estimator: Any, X: list) -> None:
    expect(estimator.fit(X) is estimator, "fit must return the estimator")


def check_fit_sets_public_attributes_with_underscore(estimator: Any, X: list) -> None:
    before = set(vars(estimator))
    estimator.fit(X)
    new = {name for name in set(vars(estimator)) - before if not name.startswith("_")}
    expect(all(name.endswith("_") for name in new), f"names of learned attributes end in _: {new}")


def check_fit_leaves_parameters_alone(estimator: Any, X: list) -> None:
    before = estimator.get_params()
    values = copy.deepcopy(before)
    estimator.fit(X)
    after = estimator.get_params()
    expect(all(after[name] is before[name] for name in before), "fit must not set parameters")
    expect(repr(after) == repr(values), "fit must not change the values of parameters")


def check_fit_leaves_data_alone(estimator: Any, X: list) -> None:
    before = copy.deepcopy(X)
    outputs(estimator.fit(X), X)
    expect(same(before, X), "X must not be changed")


def check_methods_leave_estimator_alone(estimator: Any, X: list) -> None:
    estimator.fit(X)
    before = dict(vars(estimator))
    outputs(estimator, X)
    after = vars(estimator)
    expect(before.keys() == after.keys(), "transform, predict and score must set no attribute")
    expect(all(after[name] is before[name] for name in before), "methods must change no attribute")


def check_refit_is_idempotent(estimator: Any, X: list) -> None:
    first = outputs(estimator.fit(X), X)
    expect(same(first, outputs(estimator.fit(X), X)), "a second fit must give the same")


def check_refit_forgets(estimator: Any, X: list) -> None:
    fresh = outputs(clone(estimator).fit(X[1:]), X)
    estimator.fit(X[:1])
    expect(same(fresh, outputs(estimator.fit(X[1:]), X)), "a fit must forget earlier ones")


def check_y_is_ignored(estimator: Any, X: list) -> None:
    without = outputs(estimator.fit(X), X)
    other = clone(estimator).fit(X, list(range(len(X))))
    expect(same(without, outputs(other, X)), "an unsupervised estimator ignores y")


def check_clone_is_unfitted_and_equal(estimator: Any, X: list) -> None:
    copied = clone(estimator.fit(X))
    expect(repr(copied.get_params()) == repr(estimator.get_params()), "clone keeps parameters")
    learned = {name for name in vars(copied) if name.endswith("_") and not name.startswith("_")}
    expect(not learned, "clone must not take over what was learned")
    expect(same(outputs(copied.fit(X), X), outputs(estimator, X)), "a clone must learn the same")


def check_pickle_keeps_outputs(estimator: Any, X: list) -> None:
    thawed = pickle.loads(pickle.dumps(estimator.fit(X)))
    expect(same(outputs(thawed, X), outputs(estimator, X)), "a pickle must give the same outputs")


def check_unfitted_raises(estimator: Any, X: list) -> None:
    for name in METHODS:
        if hasattr(estimator, name):
            method = getattr(estimator, name)
            promise = f"{name} before fit must raise NotFittedError"
            expect_error(lambda method=method: method(X), (NotFittedError,), promise)
    expect_error(lambda: check_is_fitted(estimator), (NotFittedError,), "must not look fitted")
    check_is_fitted(estimator.fit(X))


def check_fit_transform(estimator: Any, X: list) -> None:
    together = estimator.fit_transform(X)
    apart = clone(estimator).fit(X).transform(X)
    expect(same(together, apart), "fit_transform must give the same as fit and transform")


def check_one_output_per_trajectory(estimator: Any, X: list) -> None:
    estimator.fit(X)
    for name in ("transform", "predict"):
        if hasattr(estimator, name):
            found = getattr(estimator, name)(X)
            expect(isinstance(found, list), f"{name} must give a list, ragged runs do not stack")
            lengths = [len(item) for item in found]
            expect(lengths == [len(item) for item in X], f"{name} must keep frames, got {lengths}")


def check_trajectories_are_independent(estimator: Any, X: list) -> None:
    estimator.fit(X)
    for name in ("transform", "predict"):
        if hasattr(estimator, name):
            method = getattr(estimator, name)
            together = method(X)
            alone = [method([item])[0] for item in X]
            expect(same(together, alone), f"{name} must treat every trajectory by itself")
            expect(same(together[::-1], method(X[::-1])), f"{name} must keep the order")


def check_one_trajectory_is_a_list_of_one(estimator: Any, X: list) -> None:
    alone = outputs(clone(estimator).fit(X[0]), X[0])
    listed = outputs(estimator.fit(X[:1]), X[:1])
    expect(same(alone, listed), "one trajectory must be taken as a list of one")


def check_containers_are_accepted(estimator: Any, X: list) -> None:
    listed = outputs(estimator.fit(X), X)
    for container in (tuple(X), Container(X), _object_array(X)):
        contained = outputs(clone(estimator).fit(container), container)
        expect(same(listed, contained), f"{type(container).__name__} must do as a list does")


def _object_array(X: list) -> np.ndarray:
    array = np.empty(len(X), dtype=object)
    array[:] = X
    return array


def check_bad_input_raises(estimator: Any, X: list) -> None:
    expect_error(lambda: estimator.fit([]), (ValueError,), "an empty list must raise")
    table = np.zeros((10, 3))
    for bad in (table, table.tolist(), "run.xtc", None):
        message = expect_error(
            lambda bad=bad: estimator.fit(bad), (TypeError, ValueError), f"{bad!r} must raise"
        )
        expect("must" in message, f"the error must say what is expected, got {message!r}")


def check_global_generators_are_left_alone(estimator: Any, X: list) -> None:
    estimators = [estimator]
    if "random_state" in estimator.get_params():
        estimators.append(clone(estimator).set_params(random_state=None))
    for one in estimators:
        before = torch.random.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002
        outputs(one.fit(X), X)
        after = torch.random.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002
        expect(torch.equal(before[0], after[0]), "torch's global generator must be left alone")
        expect(same(before[1], after[1]), "numpy's global generator must be left alone")


def check_random_state_kinds(estimator: Any, X: list) -> None:
    for seeded in (lambda: 3, lambda: np.random.RandomState(3), lambda: np.random.default_rng(3)):
        first, second = (
            outputs(clone(estimator).set_params(random_state=seeded()).fit(X), X) for _ in range(2)
        )
        expect(same(first, second), f"equal seeds of {type(seeded()).__name__} must do the same")
    generator = np.random.RandomState(3)
    clone(estimator).set_params(random_state=generator).fit(X)
    used = estimator.set_params(random_state=generator).fit(X)
    expect(generator.randint(2**31) != np.random.RandomState(3).randint(2**31), "must be advanced")
    expect(used.random_state is generator, "fit must keep the generator it was given")


def check_set_output_is_left_alone(estimator: Any, X: list) -> None:
    expect(not hasattr(estimator, "set_output"), "set_output must not be offered")
    plain = estimator.fit(X).transform(X)
    with config_context(transform_output="pandas"):
        configured = clone(estimator).fit(X).transform(X)
    expect(same(plain, configured), "transform_output must not touch a list of arrays")


def check_tags_tell_the_truth(estimator: Any, X: list) -> None:
    tags = get_tags(estimator)
    kinds = ("one_d_array", "two_d_array", "three_d_array", "sparse", "string", "dict")
    claimed = [kind for kind in kinds if getattr(tags.input_tags, kind)]
    expect(not claimed, f"input is a list of trajectories, tags claim {claimed}")
    expect(not tags.target_tags.required, "no y is needed, so none may be required")
    if tags.transformer_tags is not None:
        expect(not tags.transformer_tags.preserves_dtype, "trajectories have no dtype to preserve")
    if not tags.requires_fit:
        plain = outputs(clone(estimator), X)
        expect(same(plain, outputs(estimator.fit(X), X)), "requires_fit=False: no fit is needed")


def check_sample_weight_is_refused(estimator: Any, X: list) -> None:
    expect(not has_fit_parameter(estimator, "sample_weight"), "weights are not supported")
    weights = np.ones(len(X))
    for name in ("fit", "score"):
        if hasattr(estimator, name):
            method = getattr(estimator.fit(X), name)
            message = expect_error(
                lambda method=method: method(X, sample_weight=weights),
                (TypeError,),
                "weights that would not be used must raise",
            )
            expect("sample_weight" in message, "the error must name sample_weight")


class Recorder:
    """A callback that notes what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append("setup")

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.events.append("begin")

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        self.events.append("end")


def check_callbacks_are_told(estimator: Any, X: list) -> None:
    plain = outputs(clone(estimator).fit(X), X)
    if not hasattr(estimator, "set_callbacks"):  # scikit-learn < 1.9
        return
    recorder = Recorder()
    estimator.set_callbacks(recorder).fit(X)
    events = recorder.events
    expect(events[:2] == ["setup", "begin"], f"a fit begins with setup and begin, got {events}")
    expect(events[-2:] == ["end", "teardown"], f"a fit ends with end and teardown, got {events}")
    expect(events.count("begin") == events.count("end"), "every task that begins must end")
    expect(same(plain, outputs(estimator, X)), "a callback that only listens changes no number")


CHECKS: tuple[Check, ...] = tuple(
    value
    for name, value in list(globals().items())
    if name.startswith("check_") and value.__module__ == __name__
)
NEED_FIT = {check_unfitted_raises}
NEED_SEED = {check_random_state_kinds}
