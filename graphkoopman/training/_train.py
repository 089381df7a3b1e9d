"""A training from first to last step, with progress, checkpoints and signals around it."""

from collections.abc import Callable

from graphkoopman.progress import Progress
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
    if checkpoint is not None:
        checkpoint.save(training)
    stop = False
    total = n_done + epochs_to_come(training)
    with Progress("training", total, "epochs", done=n_done, active=verbose) as stage:
        while not (training.finished or stop or interruption.signal):
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
            if checkpoint is not None:
                checkpoint.save_if_due(training)
    if checkpoint is not None:
        checkpoint.save_if_due(training, last=True)


def epochs_to_come(training: Restarts) -> int:
    """Epochs until the end if no cycle to come gains anything; each that does adds its length."""
    settings = training.settings
    cycle = min(settings.patience, settings.max_epochs)
    final = training.final
    if final is None:
        run = training.starts[-1]
        in_cycle = 0 if run.finished else cycle - run.position.epoch
        n_starts = len(training.splits) - len(training.starts)
        return in_cycle + (n_starts + 1 + len(settings.objectives)) * cycle
    n_stages, now = len(final.stages), final.position
    if now.stage == n_stages:
        return 0
    in_cycle = min(now.cycle_start + cycle, settings.max_epochs) - now.epoch
    return in_cycle + (n_stages - 1 - now.stage) * cycle


def _n_epochs(training: Restarts) -> int:
    return sum(len(run.result.history) for run in training.runs)
