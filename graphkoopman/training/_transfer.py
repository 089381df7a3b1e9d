"""Graphs on their way to the device: the next chunk is collated and copied while one is in use."""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from graphkoopman.graphs import GraphBatch
from graphkoopman.training._data import GraphData

Chunk = tuple[int, np.ndarray]  # trajectory, frames


def batches_of(data: GraphData, chunks: Sequence[Chunk]) -> Iterator[GraphBatch]:
    """Graphs of every chunk on the data's device, in order.

    For a GPU, a thread collates one chunk ahead into pinned memory, from where a stream of its own
    copies it. On the CPU, whose cores compute already, and for a single chunk nothing runs ahead.
    """
    if data.device.type == "cuda" and len(chunks) > 1:
        return _ahead(data, chunks)
    return (data.collate(*chunk).to(data.device) for chunk in chunks)


def _ahead(data: GraphData, chunks: Sequence[Chunk]) -> Iterator[GraphBatch]:
    copying = torch.cuda.Stream(data.device)

    def fetch(chunk: Chunk) -> tuple[GraphBatch, torch.cuda.Event]:
        pinned = data.collate(*chunk)
        with torch.cuda.stream(copying):
            return pinned.to(data.device), copying.record_event()

    computing = torch.cuda.current_stream(data.device)
    with ThreadPoolExecutor(1) as worker:
        ahead = worker.submit(fetch, chunks[0])
        for chunk in itertools.chain(chunks[1:], [None]):
            batch, copied = ahead.result()
            if chunk is not None:
                ahead = worker.submit(fetch, chunk)
            computing.wait_event(copied)
            batch.record_stream(computing)  # its memory is not free before that stream is done
            yield batch
            del batch, copied
