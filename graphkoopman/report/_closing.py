"""What a colleague should take away, in a handful of lines: `closing_lines`, `time_text`."""

import textwrap

import numpy as np

from graphkoopman.report._study import Study

__all__ = ["closing_lines", "exchange_text", "time_text"]

WIDTH = 100
MOST_STATES = 3
MOST_UNSEEN = 2


def closing_lines(study: Study) -> list[str]:
    """At most eight lines of `WIDTH` characters: verdict, data, states, exchange, doubts."""
    lines = [*study.verdict.line.rsplit("; ", 1), _data(study)]
    shown = range(study.n_states if study.n_states <= MOST_STATES else MOST_STATES - 1)
    lines += [_state(study, state) for state in shown]
    if len(shown) < study.n_states:
        lines.append(f"and {study.n_states - len(shown)} states more, above")
    lines += [_exchange(study), _doubts(study)]
    return [textwrap.shorten(line, WIDTH, placeholder=" …") for line in lines]


def time_text(value: float) -> str:
    """A time in ps, for people."""
    if np.isnan(value):
        return "unknown"
    return "∞" if np.isinf(value) else f"{value:.3g} ps"


def exchange_text(study: Study, begin: int, end: int) -> tuple[str, str, str]:
    """Mean time from state to state and its limits, or how long nobody was seen to go."""
    (low, high), mean = study.exchange.interval[begin, end], study.exchange.mean[begin, end]
    if not study.exchange.seen[begin, end]:
        return "not seen", f"> {low:.3g}" if low > 0.0 else "-", "-"
    return tuple(f"{value:.4g}" for value in (mean, low, high))  # type: ignore[return-value]


def _data(study: Study) -> str:
    frames = [len(item) for item in study.trajectories]
    length = sum(n * item.timestep for n, item in zip(frames, study.trajectories, strict=True))
    runs = f"{len(frames)} run{'s' if len(frames) > 1 else ''}"
    targets = sorted({array.shape[1] for array in study.probabilities})
    count = f"{targets[0]}" if len(targets) == 1 else f"{targets[0]} to {targets[-1]}"
    model = study.analysis.model
    return (
        f"read {runs}, {sum(frames)} frames, {length:.4g} ps, {count} {study.name}; intervals rest "
        f"on {model.n_effective:.3g} independent units ({model.unit})"
    )


def _state(study: Study, state: int) -> str:
    start, words = study.description.sentences[state].split(": ", 1)
    mean, (low, high) = (
        study.core_residence.mean[state],
        study.core_residence.mean_interval[state],
    )
    stays = f"stays {time_text(mean)} [{low:.3g}, {high:.3g}]"
    return f"{start} {stays}: {words.split('; a rule', 1)[0]}"


def _exchange(study: Study) -> str:
    """The exchange seen most often, and what was not seen."""
    events = study.core_residence.transitions
    begin, end = np.unravel_index(int(events.argmax()), events.shape)
    i, j = int(begin), int(end)
    if not events[i, j]:
        return "nobody was seen to change state"
    mean, low, high = exchange_text(study, i, j)
    text = f"most often {i} → {j}: {events[i, j]} times, {mean} ps [{low}, {high}] on average"
    unseen = np.argwhere(~study.exchange.seen)
    if len(unseen):
        pairs = [f"{a} → {b} ({exchange_text(study, a, b)[1]} ps)" for a, b in unseen[:MOST_UNSEEN]]
        more = ", …" if len(unseen) > MOST_UNSEEN else ""
        text += f"; not seen: {', '.join(pairs)}{more}"
    return text


def _doubts(study: Study) -> str:
    notes = study.verdict.notes
    if not notes:
        return "nothing found that speaks against it"
    more = f" (and {len(notes) - 1} more, above)" if len(notes) > 1 else ""
    return textwrap.shorten(f"to know: {notes[0]}", WIDTH - len(more), placeholder=" …") + more
