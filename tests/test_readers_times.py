"""Times and steps of files: right, or refused; and what a timestep may say beside them."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from mdtraj.formats import TRRTrajectoryFile, XTCTrajectoryFile

from benchmarks._reader_files import WRITERS, dcd, dump_text, netcdf
from benchmarks.readers import SYMBOLS, topology_of, true_run
from graphkoopman import read_trajectory
from graphkoopman.trajectories._times import check_even, frame_spacing

TOP = topology_of(SYMBOLS)


def xtc_of(path, times, steps):
    n = len(times)
    positions = np.random.default_rng(0).uniform(0, 1, (n, len(SYMBOLS), 3)).astype("f4")
    kind = XTCTrajectoryFile if path.suffix == ".xtc" else TRRTrajectoryFile
    more = {} if path.suffix == ".xtc" else {"lambd": np.zeros(n, "f4")}
    with kind(str(path), "w") as file:
        file.write(
            positions, time=np.asarray(times, "f4"), step=np.asarray(steps, "i8").astype("i4"),
            box=np.repeat(np.eye(3, dtype="f4")[None], n, 0), **more,
        )  # fmt: skip


@pytest.mark.parametrize("suffix", ["xtc", "trr"])
@pytest.mark.parametrize("change", ["doubled", "missing", "none"])
@pytest.mark.parametrize("steps_known", [True, False])
def test_ten_microseconds_in_steps_of_two_ps(tmp_path, suffix, change, steps_known):
    """A float32 resolves 1 ps there: rounding must not hide a doubled or a missing frame."""
    numbers = np.arange(4_999_000, 4_999_060)
    if change == "doubled":
        numbers = np.insert(numbers, 30, numbers[30])
    if change == "missing":
        numbers = np.delete(numbers, 30)
    path = tmp_path / f"run.{suffix}"
    # GROMACS numbers steps in 32 bits, which begin again at the bottom
    steps = (numbers * 500 - 4_999_020 * 500 + 2**31) if steps_known else np.zeros(len(numbers))
    xtc_of(path, numbers * 2.0, steps)
    if change == "none":
        assert read_trajectory(path, TOP).timestep == 2.0
        return
    for timestep in (None, 2.0):
        with pytest.raises(
            ValueError, match=r"(times|steps) are not evenly spaced, frames (29|30) and"
        ):
            read_trajectory(path, TOP, timestep)


def test_steps_tell_where_times_cannot(tmp_path):
    """0.1 ps at 10 µs: times in single precision stand still, steps do not."""
    numbers = np.arange(40)
    path = tmp_path / "run.xtc"
    xtc_of(path, 1e7 + 0.1 * numbers, numbers * 50)
    assert len(read_trajectory(path, TOP, timestep=0.1)) == 40
    xtc_of(path, 1e7 + 0.1 * numbers, np.delete(np.arange(41), 7) * 50)
    with pytest.raises(ValueError, match="steps are not evenly spaced, frames 6 and 7 are at 300"):
        read_trajectory(path, TOP, timestep=0.1)


@pytest.mark.parametrize(("spacing", "start"), [(0.1, 73_000), (0.03, 41_000), (0.002, 900)])
def test_rounding_of_a_continued_run_is_no_other_timestep(tmp_path, spacing, start):
    path = tmp_path / "run.xtc"
    n = 250
    xtc_of(path, start + spacing * np.arange(n), np.zeros(n))
    assert read_trajectory(path, TOP).timestep == spacing


def test_times_that_are_no_round_numbers(tmp_path):
    path = tmp_path / "run.xtc"
    xtc_of(path, np.arange(50) / 3, np.arange(50))
    assert read_trajectory(path, TOP).timestep == pytest.approx(1 / 3, rel=2e-6)


@pytest.mark.parametrize("kind", ["dump", "XDATCAR", "extxyz"])
@pytest.mark.parametrize(
    ("times", "frames"),
    [
        ([1, 2, 3, 3, 4, 5], "2 and 3"),
        ([1, 2, 3, 1, 2, 3], "2 and 3"),
        ([1, 2, 4, 5, 6, 7], "1 and 2"),
    ],
)
def test_steps_are_held_to_be_even(tmp_path, kind, times, frames):
    run = replace(true_run("orthogonal", True, "even"), times=np.array(times, float))
    path = tmp_path / WRITERS[kind].name
    WRITERS[kind].write(path, run)
    with pytest.raises(ValueError, match=rf"steps are not evenly spaced, frames {frames}"):
        read_trajectory(path, timestep=1.0)
    assert read_trajectory(path, timestep=1.0, ignore_times=True).timestep == 1.0


def test_first_frame_of_a_minimisation(tmp_path):
    run = true_run("orthogonal", True, "even")
    run = replace(run, times=np.array([0.0, 0.041, 10, 20, 30, 40]))
    (tmp_path / "run.dump").write_text(dump_text(run))
    with pytest.raises(ValueError, match=r"frames 0 and 1 are at 0 and 41 where most are 10000"):
        read_trajectory(tmp_path / "run.dump", timestep=10.0)


@pytest.mark.parametrize(
    ("units", "per_ps"),
    [("real", 1e3), ("metal", 1.0), ("nano", 1e-3), ("micro", 1e-6), ("si", 1e-12)],
)
def test_lammps_item_time(tmp_path, units, per_ps):
    run = true_run("orthogonal", True, "even")
    frames = dump_text(run).split("ITEM: TIMESTEP")[1:]
    times = [f"ITEM: TIME\n{t * per_ps!r}\n" for t in run.times.tolist()]
    body = "".join(f"{t}ITEM: TIMESTEP{f}" for t, f in zip(times, frames, strict=True))
    path = tmp_path / "run.dump"
    path.write_text(f"ITEM: UNITS\n{units}\n{body}")
    assert read_trajectory(path).timestep == 0.5
    with pytest.raises(ValueError, match=r"got 1 ps for frames that are 0.5 ps apart"):
        read_trajectory(path, timestep=1.0)
    # without units the times have none either, but must be even
    path.write_text(body)
    with pytest.raises(ValueError, match="carries no time"):
        read_trajectory(path)
    assert read_trajectory(path, timestep=0.5).timestep == 0.5


@pytest.mark.parametrize(
    ("units", "scale"),
    [("picosecond", None), ("femtosecond", None), ("femtosecond", 0.25), ("picosecond", 0.002)],
)
def test_netcdf_units_and_scale(tmp_path, units, scale):
    run = true_run("triclinic", True, "even").standard()
    netcdf(tmp_path / "run.nc", run, units, scale)
    assert read_trajectory(tmp_path / "run.nc", TOP).timestep == 0.5


def test_netcdf_in_hdf5(tmp_path):
    netCDF4 = pytest.importorskip("netCDF4")
    run = true_run("triclinic", True, "even").standard()
    netcdf(tmp_path / "classic.nc", run, "femtosecond", 2.0)
    with (
        netCDF4.Dataset(tmp_path / "classic.nc") as old,
        netCDF4.Dataset(tmp_path / "run.nc", "w", format="NETCDF4") as new,
    ):
        for name, size in old.dimensions.items():
            new.createDimension(name, None if size.isunlimited() else len(size))
        for name, variable in old.variables.items():
            copy = new.createVariable(name, variable.dtype, variable.dimensions)
            variable.set_auto_maskandscale(False)
            copy.set_auto_maskandscale(False)
            copy.setncatts({key: variable.getncattr(key) for key in variable.ncattrs()})
            copy[:] = variable[:]
    read = read_trajectory(tmp_path / "run.nc", TOP)
    assert read.timestep == 0.5
    np.testing.assert_allclose(read.cell, run.cells[0], atol=1e-4)


def test_netcdf_units_without_a_scale(tmp_path):
    netcdf(tmp_path / "run.nc", true_run("orthogonal", True, "even"))
    content = (tmp_path / "run.nc").read_bytes()
    (tmp_path / "run.nc").write_bytes(content.replace(b"picosecond", b"lj units  "))
    with pytest.raises(ValueError, match=r"got 'lj units' in .* which have no scale"):
        read_trajectory(tmp_path / "run.nc", TOP)


def test_dcd_times_of_the_header(tmp_path):
    path = tmp_path / "run.dcd"
    dcd(path, true_run("orthogonal", True, "even"))
    assert read_trajectory(path, TOP).timestep == 0.5
    with pytest.raises(ValueError, match=r"got 5 ps for frames that are 0.5 ps apart"):
        read_trajectory(path, TOP, timestep=5.0)
    content = bytearray(path.read_bytes())
    content[44:48] = struct.pack("<f", 1.0)  # what writers put that do not know it
    path.write_bytes(content)
    with pytest.raises(ValueError, match="carries no time"):
        read_trajectory(path, TOP)
    assert read_trajectory(path, TOP, timestep=5.0).timestep == 5.0


def test_dcd_of_lammps_has_another_unit_of_time(tmp_path):
    path = tmp_path / "run.dcd"
    dcd(path, true_run("orthogonal", True, "even"))
    content = path.read_bytes().replace(b"by hand ".ljust(20), b"Written by LAMMPS".ljust(20))
    path.write_bytes(content)
    with pytest.raises(ValueError, match="carries no time"):
        read_trajectory(path, TOP)


def test_even_times():
    check_even(np.arange(5), "a run")
    check_even(np.float64(np.float32(3e5 + 0.1 * np.arange(2000))), "a run")
    for bad in ([0, 1, 1, 2], [3, 2, 1, 0], [0, 1, 2, 4], [0, 0, 0]):
        with pytest.raises(ValueError, match="not evenly spaced"):
            check_even(np.array(bad), "a run")


def test_slow_drift_of_times_is_not_rounding():
    times = np.cumsum(np.full(1000, 1.0) + 5e-3 * np.linspace(-1, 1, 1000))
    with pytest.raises(ValueError, match="not evenly spaced"):
        frame_spacing(times, None, None, "a run")
