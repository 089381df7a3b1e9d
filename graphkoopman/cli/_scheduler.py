"""Work of a command on a dask cluster: `scheduled`."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import joblib

from graphkoopman._optional import missing

__all__ = ["scheduled"]

SECONDS_TO_CONNECT = 20


@contextmanager
def scheduled(options: argparse.Namespace) -> Iterator[None]:
    """Run joblib's tasks inside on the cluster of ``--scheduler``, where one is given.

    Raises
    ------
    ValueError
        Without a folder that all workers see, or if nothing answers at the address.
    ImportError
        Without dask.
    """
    address = options.scheduler
    if address is None:
        yield
        return
    if options.cache is None:
        raise ValueError(
            "--scheduler needs --cache, a folder that all workers see, for positions and graphs: "
            "workers read them there"
        )
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise missing("dask", "--scheduler") from error
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT)
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(
            f"--scheduler must be the address of a running dask scheduler, such as "
            f"tcp://10.0.0.1:8786, got {address!r} ({str(error).splitlines()[0]})"
        ) from error
    with client, joblib.parallel_config("dask", client=client):
        yield
