"""Files of arrays are written whole or not at all, and read back as they were."""

import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from graphkoopman.storage import FileKind, read_arrays, replacing, write_arrays

PLAIN = FileKind("graphkoopman-test", 3, "test file", "write it again")


def failing(code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


FAILURES = {
    "open, read-only": (Path, "open", errno.EROFS),
    "flush to disk": (os, "fsync", errno.ENOSPC),
    "rename": (os, "replace", errno.EROFS),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failed_writes_leave_the_earlier_file(tmp_path, monkeypatch, failure):
    path = tmp_path / "values"
    write_arrays(path, PLAIN, {"a": np.arange(5)}, {"n": 1})
    owner, name, code = FAILURES[failure]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(code))
        message = rf"could not write \({os.strerror(code)}\).*untouched.*{path}"
        with pytest.raises(OSError, match=message) as caught:
            write_arrays(path, PLAIN, {"a": np.arange(9)}, {"n": 2})
        assert caught.value.errno == code
    assert [file.name for file in tmp_path.iterdir()] == ["values"]
    arrays, header = read_arrays(path, PLAIN)
    assert (arrays["a"].tolist(), header) == ([0, 1, 2, 3, 4], {"n": 1})


def test_left_over_partial_files_do_not_stay(tmp_path):
    path = tmp_path / "values"
    old, new = (tmp_path / f".values.{n}.partial" for n in ("1-a", "2-b"))
    for file in (old, new, tmp_path / ".other.1-a.partial"):
        file.write_bytes(b"half")
        os.utime(file, (time.time() - 4000.0,) * 2)
    os.utime(new)  # perhaps another process is at it
    with replacing(path) as target:
        target.write(b"whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        ".other.1-a.partial", ".values.2-b.partial", "values",
    ]  # fmt: skip


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("mmap", [False, True])
def test_arrays_round_trip(tmp_path, mmap, verify):
    arrays = {
        "scalar": np.array(3.5),
        "empty": np.empty((0, 3), np.int32),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "bytes": np.arange(7, dtype=np.uint8),
        "flags": np.array([True, False]),
        "big-endian": np.arange(3, dtype=">i4"),
    }
    header = {"text": "Å", "nan": float("nan"), "list": [1, None, 2.5]}
    write_arrays(tmp_path / "x", PLAIN, arrays, header)
    read, other = read_arrays(tmp_path / "x", PLAIN, mmap=mmap, verify=verify)
    np.testing.assert_equal(other, header)
    assert set(read) == set(arrays)
    # the safetensors library agrees on the layout
    for name, array in load_file(tmp_path / "x").items():
        np.testing.assert_array_equal(array, arrays[name])
        np.testing.assert_array_equal(read[name], arrays[name])
        assert read[name].shape == arrays[name].shape
    with pytest.raises(FileNotFoundError, match=r"no test file at .*absent; write it again"):
        read_arrays(tmp_path / "absent", PLAIN)
