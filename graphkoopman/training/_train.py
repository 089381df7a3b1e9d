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
            history = training.advance().result.history
            if _n_epochs(training) > n_done:
                n_done += 1
                row = history[-1]
                note = (
                    f"{row['objective']} {row['train_score']:.3f}, validation "
                    f"{row['validation_score']:.3f}, best {training.best.result.score:.3f}"
                )
                stage.step(note, total=n_done + epochs_to_come(training))
                stop = after_epoch(training)
            if checkpoint is not None:
                checkpoint.save_if_due(training)
    if checkpoint is not None:
        checkpoint.save_if_due(training, last=True)


def epochs_to_come(training: Restarts) -> int:
    """Epochs until the end if no cycle to come gains anything; each that does adds its length."""
    settings, best = training.settings, training.best
    cycle = min(settings.patience, settings.max_epochs)
    n_stages = len(best.stages)
    if training.chosen is None:
        # a start ends with its first cycle, and the best one goes on to its next stage
        run = training.runs[-1]
        in_cycle = 0 if run.explored else cycle - run.position.epoch
        return in_cycle + (training.n_init - len(training.runs) + n_stages - 1) * cycle
    now = best.position
    if now.stage == n_stages:
        return 0
    in_cycle = min(now.cycle_start + cycle, settings.max_epochs) - now.epoch
    return in_cycle + (n_stages - 1 - now.stage) * cycle


def _n_epochs(training: Restarts) -> int:
    return sum(len(run.result.history) for run in training.runs)
