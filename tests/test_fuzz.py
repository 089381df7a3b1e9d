"""Short version of `python -m benchmarks.fuzz`: random input ends well or in one of our errors."""

import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks._fuzz_targets import run_one, targets
from benchmarks._mutations import is_failure

# some parsers leave a file open when they fail
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:Warning. The 'netCDF4' Python package is not installed",
)
TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_random_input(name):
    strategy, function = TARGETS[name]

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def execute(arguments):
        result = run_one(function, arguments)
        assert not is_failure(result), result

    execute()
