"""A training from first to last step, with progress, checkpoints and signals around it."""

from collections.abc import Callable

from graphkoopman.progress import Progress
from graphkoopman.ranks import any_of
from graphkoopman.training._checkpoint import Checkpoint
from graphkoopman.training._interruption import Interruption
from graphkoopman.training._restarts import Restarts


def train(
    training: Restarts,
    checkpoint: Checkpoint | None,
    interruption: Interruption,
    after_epoch: Callable[[Restarts], bool],
    *,
    verbose: bool = False,
) -> None:
    """Advance a training until it is finished, a signal came or ``after_epoch`` says so.

    Of several processes rank 0 saves and shows progress, and a signal to one stops all.

    Parameters
    ----------
    training : Restarts
    checkpoint : Checkpoint or None
        Saved to at once, so that a folder that cannot be written to is known before long work,
        then at its interval, and at the end.
    interruption : Interruption
    after_epoch : callable
        Called with the training after every epoch; whether to stop.
    verbose : bool
        Show a progress bar with the scores.

    Raises
    ------
    OSError
        If the first save fails; a later one warns.
    """
    n_done = _n_epochs(training)
    reducer = training.data.reducer
    if checkpoint is not None:
        checkpoint.save(training)
    stop = any_of(reducer, interruption.signal is not None)
    total = n_done + epochs_to_come(training)
    shown = verbose and reducer.rank == 0
    with Progress("training", total, "epochs", done=n_done, active=shown) as stage:
        while not (training.finished or stop):
            run = training.advance()
            if _n_epochs(training) > n_done:
                n_done += 1
                row = run.result.history[-1]
                note = (
                    f"{row['objective']} {row['train_score']:.3f}, validation of the best start "
                    f"{training.start.result.score:.3f}"
                )
                stage.step(note, total=n_done + epochs_to_come(training))
                stop = after_epoch(training)
            stop = any_of(reducer, stop or interruption.signal is not None)
            if checkpoint is not None:
                checkpoint.save_if_due(training)
    if checkpoint is not None:
        checkpoint.save_if_due(training, last=True)


def epochs_to_come(training: Restarts) -> int:
    """Epochs until the end if no cycle to come gains anything; each that does adds its length."""
    settings = training.settings
    cycle = min(settings.patience, settings.max_epochs)
    on_all = (1 + len(settings.objectives)) * cycle
    run = training.starts[-1] if training.chosen is None else training.best
    now = run.position
    in_cycle = min(now.cycle_start + cycle, settings.max_epochs) - now.epoch
    if training.final is not None:
        return 0 if run.finished else in_cycle + on_all - (now.stage + 1) * cycle
    if training.chosen is not None:
        return in_cycle + on_all
    # a start ends with its first cycle, and the best one has a second if there are epochs for it
    if run.explored:
        in_cycle = 0
    n_starts = len(training.splits) - len(training.starts)
    return in_cycle + n_starts * cycle + min(cycle, settings.max_epochs - cycle) + on_all


def _n_epochs(training: Restarts) -> int:
    return sum(len(run.result.history) for run in training.runs)
