"""Fixtures that several test modules share."""

import os
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from hypothesis import settings
from joblib import parallel_config
from threadpoolctl import threadpool_limits

# Where there is no GPU, its kernels run in Triton's interpreter, which reads this when imported.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
# Test problems are small: one thread is faster, and numbers do not depend on the machine's cores.
# Of torch and of the linear algebra below numpy alike.
torch.set_num_threads(1)
threadpool_limits(1)
mpl.use("Agg")
# The same examples in every run, whatever the speed of the machine.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real trajectories beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def two_processes():
    """Two workers for whatever has ``n_jobs=2``, one thread each as in this process."""
    assert torch.get_num_threads() == 1
    with parallel_config(backend="loky", inner_max_num_threads=1):
        yield
