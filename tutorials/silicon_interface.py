# %% [markdown]
# # Silicon between crystal and melt
#
# **Which surroundings do atoms pass when they freeze onto a crystal or melt off it, and how long does
# it take?** (Fig. 3 of [Xie et al.](https://doi.org/10.1038/s41467-019-10663-6).)
#
# ![States of silicon along the normal of the faces](attachment:answer.png)
#
# *Where the states are along the normal of the faces, in frames that no network has seen: the melt,
# the crystal, and between them what atoms pass.*
#
# Two stand-ins replace the paper's alloy at 629 K. Silicon of Stillinger and Weber at 1680 K has
# crystal and melt in coexistence, with exchange both ways. Gold and silicon at 900 K are closer to
# the paper in composition, but in 1.2 ns no atom moves from one phase into the other. Numbers of
# the paper are not expected; its findings are, one by one, at the end.

# %%
import os

import numpy as np

SMALL = os.environ.get("GRAPHKOOPMAN_TUTORIAL_SIZE") == "small"  # True: a try of seconds
DATA = None  # folder of the trajectories; None takes that of GRAPHKOOPMAN_DATA, or a sample
LAG = 20.0  # ps
LAGS = np.array([10.0, 20.0, 40.0, 60.0, 80.0])
N_STATES, N_NEIGHBORS = 4, 8 if SMALL else 20  # the paper's
SEEDS, MAX_EPOCHS, N_BOOTSTRAP = ((0,), 1, 20) if SMALL else ((0, 1), 60, 100)
N_ATOMS = 60 if SMALL else 160  # targets, evenly picked; all that a face reaches are 633
TO_THE_END = 100.0  # ps at both ends of a run, to see who has changed sides

# %% [markdown]
# ## In ten lines
#
# A Koopman model looks for the slowest process there is. With all silicon among the targets that
# would be diffusion in the crystal, so the paper takes the melt and the outer two layers of the
# crystal at each face, and so do the files, judged by their first frames. Here the crystal wanders,
# melting at one face and growing at the other. Targets chosen at the beginning then see freezing
# alone, and no equilibrium. So they are chosen from all atoms but those that no face ever reaches,
# which are crystalline in every frame and are seen as neighbours only.
#
# What is crystalline is a label that comes with the files, a majority over 10 ps of bonds between
# like neighbours (from the correlation of q3). It is used to choose targets and to name states, not
# to learn them. The network learns from the first half, and the second is looked at.

# %% tags=["answer"]
import warnings
from dataclasses import replace

from deeptime.util.validation import implied_timescales
from matplotlib import pyplot as plt
from sklearn.base import clone

from graphkoopman import GDyNetEstimator, GraphFeaturizer, align_states, estimate_koopman
from graphkoopman.datasets import load_example
from graphkoopman.koopman import (
    BeyondDataWarning,
    FewUnitsWarning,
    FixedStateWarning,
    InvalidTimescaleWarning,
    ck_error,
)
from graphkoopman.lobes import GatedEncoder
from graphkoopman.plotting import (
    COLORS,
    plot_ck_test,
    plot_eigenvectors,
    plot_state_profile,
    plot_timescales,
)
from graphkoopman.structure import bond_order, state_profile
from graphkoopman.tables import with_interval

# times beyond these runs, states between which nothing crosses in them, and intervals from few
# events are what this tutorial is about: the text says so once, in place of every model
for category in (BeyondDataWarning, FixedStateWarning, FewUnitsWarning, InvalidTimescaleWarning):
    warnings.simplefilter("ignore", category)
if SMALL:  # an epoch is not meant to converge
    warnings.simplefilter("ignore")

example = load_example("si_sw", folder=DATA, sample=SMALL)
print(example)
(run,) = example.trajectories
silicon, is_solid = example.labels["si_index"], example.labels["is_solid"].astype(bool)
reached = ~is_solid.all(axis=0)
reached = np.flatnonzero(reached)
reached = reached[np.linspace(0, len(reached) - 1, N_ATOMS).astype(int)]
run = replace(run, targets=silicon[reached])
half = len(run) // 2
featurizer = GraphFeaturizer(n_neighbors=N_NEIGHBORS, n_hops=2)
graphs = featurizer.fit_transform([run[:half], run[half:]])
estimator = GDyNetEstimator(
    N_STATES,
    round(LAG / run.timestep),
    encoder=GatedEncoder(n_conv=2),
    max_epochs=MAX_EPOCHS,
    n_init=2,
    random_state=SEEDS[0],
)
(states,) = estimator.fit(graphs[0]).transform(graphs[1:])
profile = state_profile(run[half:], [states], None, axis="c", n_bins=60)
figure, ax = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
plot_state_profile(profile, ax)
ax.set(xlabel="z / Å", title="second half of the run")

# %% [markdown]
# ## Targets
#
# How many change sides between one end of the run and the other, of the targets that the file has,
# judged by its first frames, and of an even choice of those that a face reaches: a quarter of them,
# so that this notebook takes minutes.


# %%
def crossings(run, solid):
    """Targets that are in one phase at the beginning and in the other at the end."""
    n = min(round(TO_THE_END / run.timestep), len(run) // 4)
    begin, end = solid[:n].mean(axis=0), solid[-n:].mean(axis=0)
    return np.sum((begin > 0.7) & (end < 0.3)), np.sum((begin < 0.3) & (end > 0.7))


def describe(name, run, solid):
    """Length, targets and crossings of a run."""
    melted, frozen = crossings(run, solid)
    print(
        f"{name}: {len(run)} frames of {run.timestep:g} ps, {solid.shape[1]} targets of "
        f"{run.n_atoms} atoms, {solid.mean():.2f} crystalline; from one end of the run to the "
        f"other {melted} melted and {frozen} froze"
    )


def labels_of(run, example):
    """Whether each target of a run is crystalline, (n_frames, n_targets)."""
    columns = np.searchsorted(example.labels["si_index"], run.targets)
    return example.labels["is_solid"][:, columns].astype(bool)


solid = labels_of(run, example)
of_the_file = example.trajectories[0]
describe("silicon, targets of the file", of_the_file, labels_of(of_the_file, example))
describe("silicon, a choice of what a face reaches", run, solid)

# %% [markdown]
# ## Four states
#
# Learned from the first half and judged on the second, as in the paper. States have no order of
# their own; here they are ordered from melt to crystal, and further networks are matched to the
# first.
#
# Each network is the better of two starts. The way from melt to crystal is gradual: what crisp
# states would have cut off is printed, and how far the starts agree; the warnings of both are
# silenced. A higher VAMP-2 score is not a better label by itself: the slowest process need not be
# the one that the label names.


# %%
def learn(run, solid, seeds):
    """Probabilities of the second half from several networks, and that half with its labels."""
    graphs = featurizer.fit_transform([run[: len(run) // 2], run[len(run) // 2 :]])
    labels = solid[len(run) // 2 :]
    learned = []
    for seed in seeds:
        network = clone(estimator).set_params(random_state=seed).fit(graphs[0])
        (probs,) = network.transform(graphs[1:])
        if learned:
            order = align_states(learned[0], probs)
        else:
            order = np.argsort(solid_share(probs, labels))
        learned.append(probs[..., order])
        print(
            f"  seed {seed}: validation VAMP-2 {network.validation_score_:.2f} of {N_STATES}, "
            f"agreement of starts {network.agreement_:.2f}, overlap "
            f"{network.state_map_.overlap:.1%}"
        )
    return run[len(run) // 2 :], labels, learned


def solid_share(probs, labels):
    """How much of each state is crystalline, (n_states,)."""
    return (probs * labels[..., None]).sum(axis=(0, 1)) / probs.sum(axis=(0, 1))


unseen, labels, learned = learn(run, solid, SEEDS)

# %% [markdown]
# ## How long exchange takes
#
# A process exchanges the states at which its eigenvector is highest and lowest. Times above the
# length of the second half, the dotted line, rest on the many atoms, each of which is a short run
# of its own. Atoms at one face freeze together, so intervals come from blocks of time and are wide;
# the spread over networks is to be read beside them.


# %%
def kinetics(name, run, learned, labels):
    """Print what each network finds; times (n_seeds, n_states - 1) in ps and other results."""
    lag, horizon = round(LAG / run.timestep), round(LAGS[-1] / run.timestep)
    times, ends_of, errors = [], [], []
    for seed, probs in zip(SEEDS, learned, strict=True):
        model = estimate_koopman(
            probs, lag, timestep=run.timestep, n_bootstrap=N_BOOTSTRAP, random_state=0
        )
        times.append(model.prior.timescales_ps())
        limits = model.timescales_ps_interval()
        error = ck_error(probs, lag, horizon)
        errors.append([error.error, error.interval()[0]])
        vectors = model.prior.eigenvectors[:, 1:].real
        ends_of.append(np.stack([vectors.argmax(axis=0), vectors.argmin(axis=0)], axis=1))
        print(f"{name}, seed {seed}: {error.n_effective:.0f} independent units ({error.unit})")
        for process, (time, ends) in enumerate(zip(times[-1], limits, strict=True)):
            high, low = ends_of[-1][process]
            text = "too fast for this lag" if np.isnan(time) else f"{with_interval(time, ends)} ps"
            print(f"  process {process + 1}: {text}, state {high} against {low}")
        populations = zip(
            model.prior.empirical_populations, model.populations_interval(), strict=True
        )
        shares = solid_share(probs, labels)
        for state, (population, share) in enumerate(zip(populations, shares, strict=True)):
            print(
                f"  state {state}: population {with_interval(*population)}, {share:.0%} crystalline"
            )
        print(f"  CK error {with_interval(error.error, error.interval())}", end=", ")
        print(f"largest deviation {error.largest:.3f} up to {LAGS[-1]:g} ps")
    return np.array(times), np.array(ends_of), np.array(errors)


times, ends, errors = kinetics("silicon", unseen, learned, labels)
models = [
    estimate_koopman(
        learned[0],
        round(lag / run.timestep),
        timestep=run.timestep,
        n_bootstrap=N_BOOTSTRAP,
        random_state=0,
    )
    for lag in LAGS
]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
plot_timescales(implied_timescales(models), axes[0], timestep=run.timestep)
axes[0].axhline(len(unseen), color="black", linestyle=":", linewidth=1)  # the axis counts frames
plot_eigenvectors(models[1], axes[1])
even = [model for model in models if model.lagtime % models[1].lagtime == 0]
figure = plot_ck_test(models[1].ck_test(even), timestep=run.timestep)

# %% [markdown]
# ## Where the states are
#
# Fig. 3b and c: the targets of one frame, and the states along the normal of the faces.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
places = np.mod(unseen.positions[-1, unseen.targets], np.diag(unseen.cell))
for state in range(N_STATES):
    inside = learned[0][-1].argmax(axis=1) == state
    axes[0].plot(*places[inside][:, [2, 0]].T, "o", ms=4, color=COLORS[state])
axes[0].set(xlabel="z / Å", ylabel="x / Å", title="targets in the last frame")
profile = state_profile(unseen, [learned[0]], None, axis="c", n_bins=60)
plot_state_profile(profile, axes[1])
axes[1].set(xlabel="z / Å", title="second half of the run")

# %% [markdown]
# ## Against an order parameter
#
# q3 tells in one frame how well the four nearest neighbours fit a diamond lattice. Both it and the
# crystalline states become a decision by a threshold that calls as many crystalline as the label
# does. Then two errors are counted: atoms of the middle of the melt that are called crystalline,
# and changes of the verdict, of which the label, which knows the frames around, has few.

# %%
(q3,) = bond_order(unseen, None, 3)
figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
for state in range(N_STATES):
    ax.hist(
        q3.ravel(),
        bins=60,
        density=True,
        weights=learned[0][..., state].ravel(),
        histtype="step",
        linewidth=1.5,
        color=COLORS[state],
        label=f"state {state}",
    )
ax.set(xlabel="q3 of one frame", ylabel="probability density")
ax.legend()


def called_crystalline(value, labels):
    """Verdicts by the threshold that calls as many crystalline as the label does."""
    return value > np.quantile(value, 1.0 - labels.mean())


height = np.mod(unseen.positions[:, unseen.targets, 2] / unseen.cell[2, 2], 1.0)
molten = np.exp(2j * np.pi * height)[~labels].mean()
off_centre = np.angle(np.exp(2j * np.pi * height) / molten) / (2 * np.pi) * unseen.cell[2, 2]
middle = (np.abs(off_centre) < 3.0) & ~labels
duration = len(unseen) * unseen.timestep / 1000  # ns


def verdict(value):
    """Share of the middle of the melt called crystalline, and changes per atom and ns."""
    called = called_crystalline(value, labels)
    changes = np.mean(np.sum(called[1:] != called[:-1], axis=0)) / duration
    return called[middle].mean(), changes, np.mean(called == labels)


crystal = [
    probs @ (solid_share(probs, labels) > 0.5).astype(float) for probs in learned
]  # probability of the crystalline states
by_q3, by_states = np.array(verdict(q3)), np.array([verdict(value) for value in crystal])
own_changes = np.mean(np.sum(labels[1:] != labels[:-1], axis=0)) / duration
print(f"label: {own_changes:.1f} changes per atom and ns")
for name, (wrong, changes, agreement) in [
    ("q3", by_q3),
    *((f"states, seed {seed}", row) for seed, row in zip(SEEDS, by_states, strict=True)),
]:
    print(
        f"{name}: {wrong:.2%} of the middle of the melt called crystalline, {changes:.1f} changes "
        f"per atom and ns, {agreement:.1%} as the label"
    )

# %% [markdown]
# ## Gold and silicon
#
# The same for the alloy, with the targets of its file, since its faces stay where they are.

# %%
if not SMALL:
    example = load_example("siau", folder=DATA)
    print(example)
    (alloy,) = example.trajectories
    alloy_solid = labels_of(alloy, example)
    describe("alloy", alloy, alloy_solid)
    part, part_labels, alloy_learned = learn(alloy, alloy_solid, SEEDS)
    alloy_times, _, _ = kinetics("alloy", part, alloy_learned, part_labels)

# %% [markdown]
# ## What was found
#
# Statements of the paper, and what these data say of them.


# %%
def spread(values, form):
    """Smallest and largest value over the networks."""
    return f"{np.min(values):{form}} to {np.max(values):{form}}"


def holds(conditions):
    """How many of the networks bear a statement out."""
    return f"holds in {np.sum(conditions)} of {len(conditions)}"


shares = np.array([solid_share(probs, labels) for probs in learned])
length = len(unseen) * unseen.timestep
between = [row[1] > 0.1 and row[2] < 0.9 for row in shares]
slowest = [set(first) == {0, 3} for first, _, _ in ends]
in_order = [set(two) == {2, 3} and set(three) == {0, 1} for _, two, three in ends]
print(
    f"Silicon, {len(SEEDS)} network(s). Can be tested:\n"
    f"  states of melt and crystal, and two between: {holds(between)}; crystalline "
    f"{', '.join(spread(column, '.0%') for column in shares.T)}\n"
    f"  states are steadier than q3: {holds((by_states[:, :2] < by_q3[:2]).all(axis=1))}; "
    f"{spread(by_states[:, 1], '.0f')} changes per atom and ns against {by_q3[1]:.0f}, "
    f"{spread(by_states[:, 0], '.2%')} of the middle of the melt called crystalline against "
    f"{by_q3[0]:.2%}\n"
    f"  the slowest process is melting and freezing: {holds(slowest)}; "
    f"{spread(times[:, 0], '.0f')} ps\n"
    "  next come exchange of crystal with the face, and then of melt with the face: "
    f"{holds(in_order)}\n"
    f"  the model passes a CK test at {LAG:g} ps: {holds(errors[:, 1] <= 0)}; probabilities to "
    f"stay are {spread(errors[:, 0], '.3f')} above the prediction, and times grow with the lag\n"
    f"  processes slower than the data are long ({length:.0f} ps) can be found: "
    f"{holds(times[:, 0] > length)}"
)
if not SMALL:
    melted, frozen = crossings(alloy, alloy_solid)
    print(
        f"Alloy: processes take {', '.join(spread(column, '.3g') for column in alloy_times.T)} ps, "
        "the slowest longer than the data, as in the paper. But it rests on "
        f"{len(part) * part.timestep:.0f} ps, and in the run {melted} atoms melted and {frozen} "
        "froze for good: what is seen are fluctuations at the faces, and no time of melting."
    )
print(
    "Cannot be tested: the paper's 538, 73.2 and 2.26 ns, which belong to another potential, 629 K "
    "and 25 ns; and melting and freezing of an alloy, of which there is none."
)
