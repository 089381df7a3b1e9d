"""A training from first to last step, with progress, checkpoints and signals around it."""

from collections.abc import Callable

from tqdm.auto import tqdm

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
    settings = training.settings
    n_epochs = (training.n_init + len(settings.objectives)) * settings.max_epochs
    n_done = sum(len(run.result.history) for run in training.runs)
    if checkpoint is not None:
        checkpoint.save(training)
    stop = False
    with tqdm(total=n_epochs, initial=n_done, unit="epoch", disable=not verbose) as progress:
        while not (training.finished or stop or interruption.signal):
            history = training.advance().result.history
            if sum(len(run.result.history) for run in training.runs) > n_done:
                n_done += 1
                progress.update()
                row = history[-1]
                progress.set_postfix_str(
                    f"{row['objective']} {row['train_score']:.4f}, validation "
                    f"{row['validation_score']:.4f}, best {training.best.result.score:.4f}"
                )
                stop = after_epoch(training)
            if checkpoint is not None:
                checkpoint.save_if_due(training)
    if checkpoint is not None:
        checkpoint.save_if_due(training, last=True)
