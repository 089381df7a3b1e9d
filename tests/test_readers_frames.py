"""Every frame that a file holds is read, or an error says where it ends; atoms stay the same."""

import bz2
import gzip
import lzma
import struct
from dataclasses import replace

import mdtraj as md
import numpy as np
import pytest

from benchmarks._reader_files import dump_text, extxyz, gro, pdb, trr, vasprun, xdatcar, xtc
from benchmarks.readers import SYMBOLS, TRICLINIC, topology_of, true_run
from graphkoopman import read_trajectory
from graphkoopman.trajectories.readers import READERS, Contents, FrameBlock, find_reader, reader
from graphkoopman.trajectories.readers._elements import atoms_from_symbols

TOP = topology_of(SYMBOLS)
HEAD = "title\n1.0\n8 0 0\n0 9 0\n0 0 10\nLi S\n1 2\n"


def frames(first, last, mark="Direct configuration= {:5d}\n", end=""):
    return "".join(
        mark.format(k) + f"0.0 0.0 0.{k:03d}\n0.5 0.5 0.5\n-.25 0.75 0.5\n{end}"
        for k in range(first, last)
    )


XDATCARS = {
    "NPT": "".join(HEAD.replace("8 0 0", f"{8 + k} 0 0") + frames(k, k + 1) for k in range(1, 11)),
    "two runs": HEAD + frames(1, 6) + HEAD + frames(6, 11),
    "blank lines": HEAD
    + "\n"
    + frames(1, 6, end="\n")
    + " \t\n\n"
    + HEAD
    + frames(6, 11, end=" \n")
    + "\n\n",
    "Konfig": HEAD + frames(1, 11, mark="Konfig={:8d}\n"),
    "overflow": HEAD + frames(1, 11, mark="Direct configuration=******\n"),
    "no numbers": HEAD + frames(1, 11, mark="Direct\n"),
    "old blank marks": HEAD + frames(1, 11, mark="\n"),
    "flags": HEAD + frames(1, 11).replace("0.5 0.5 0.5\n", "0.5 0.5 0.5 T T F\n"),
    "symbols": HEAD + frames(1, 11).replace("0.5 0.5 0.5\n", "0.5 0.5 0.5 S\n"),
    "glued": HEAD
    + frames(1, 11).replace("-.25 0.75", "-0.25 0.75").replace("0.0 0.0 0.", "-0.0-0.0 0."),
    "CRLF": (HEAD + frames(1, 11)).replace("\n", "\r\n"),
    "VASP 4": HEAD.replace("title", "Li S").replace("Li S\n1 2", "1 2") + frames(1, 11),
}


@pytest.mark.parametrize("name", XDATCARS)
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_every_frame_of_an_xdatcar(tmp_path, name, chunk):
    path = tmp_path / "XDATCAR"
    path.write_bytes(XDATCARS[name].encode())
    read = read_trajectory(path, timestep=1.0, chunk=chunk)
    assert read.species.tolist() == [3, 16, 16]
    np.testing.assert_allclose(read.positions[:, 0, 2], 0.01 * np.arange(1, 11), atol=1e-6)
    np.testing.assert_allclose(read.positions[:, 2, 1:], [[6.75, 5.0]] * 10, atol=1e-6)
    np.testing.assert_allclose(read.positions[:, 2, 0], -0.25 * read.cells[:, 0, 0], atol=1e-6)
    edges = 8 + np.arange(1, 11) if name == "NPT" else np.full(10, 8.0)
    np.testing.assert_allclose(read.cells[:, 0, 0], edges)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + frames(1, 4)[:-14], r"after frame 2: the file ends at line 18 .* \(3 lines, 2 are"),
        (
            HEAD + frames(1, 4).replace("0.5 0.5 0.5", "0.5 ***** 0.5", 1),
            r"after frame 0: line 10: three coordinates .*'0.5 \*{5} 0.5'; edit that line",
        ),
        (
            HEAD + frames(1, 3) + "Direct configuration=\n0.1 0.2\n0 0 0\n0 0 0\n",
            "after frame 2: line 17: three coordinates expected, got '0.1 0.2'",
        ),
        (
            HEAD + frames(1, 3) + HEAD.replace("1 2", "2 1") + frames(3, 5),
            r"got Li2 S1 after frame 2 of .* and Li1 S2 in the first",
        ),
        (
            HEAD.replace("Li S\n1", "Li S P\n1") + frames(1, 3),
            r"line 6: 3 symbols \(Li S P\) for 2 numbers",
        ),
        (HEAD.replace("0 9 0", "0 9"), "line 4: a lattice vector expected, got '0 9'"),
        (
            "192 192 140\n 0.2E+02 0.1E+02 0.1E+02\n 300.0\n CAR\n title\n Konfig= 1\n",
            "hold no lattice vectors",
        ),
        (HEAD, "the file ends at line 7"),
        (
            HEAD + frames(1, 4) + HEAD + frames(1, 4),
            "steps are not evenly spaced, frames 2 and 3 are at 3 and 1",
        ),
        (HEAD.replace("Li S\n", "Lx S\n") + frames(1, 4), "no elements .*Lx"),
    ],
)
def test_what_is_wrong_with_an_xdatcar(tmp_path, text, message):
    (tmp_path / "XDATCAR").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_trajectory(tmp_path / "XDATCAR", timestep=1.0)


def test_negative_scale_is_a_volume(tmp_path):
    (tmp_path / "XDATCAR").write_text(HEAD.replace("1.0\n", "-5760.0\n") + frames(1, 4))
    read = read_trajectory(tmp_path / "XDATCAR", timestep=1.0)
    np.testing.assert_allclose(read.cell, 2 * np.diag([8.0, 9, 10]))


def run_of(kind="triclinic"):
    return true_run(kind, True, "even")


def test_vasprun_interrupted_anywhere(tmp_path):
    path = tmp_path / "vasprun.xml"
    vasprun(path, run_of())
    text = path.read_text()
    assert len(read_trajectory(path)) == 6
    for share in (0.4, 0.6, 0.8, 0.999):
        path.write_text(text[: int(share * len(text))])
        with pytest.raises(
            ValueError, match=r"after frame \d, line \d+ .*close it with </modeling>"
        ):
            read_trajectory(path)
    # the remedy
    end = text.rindex("</calculation>", 0, int(0.7 * len(text))) + len("</calculation>")
    path.write_text(text[:end] + "\n</modeling>\n")
    assert 1 < len(read_trajectory(path)) < 6


def test_vasprun_with_machine_learned_steps(tmp_path):
    """Their structures are outside of calculations, or in calculations without electronic steps."""
    path = tmp_path / "vasprun.xml"
    vasprun(path, run_of())
    text = path.read_text()
    parts = text.split("<calculation>")
    for i in (2, 3, 5):
        parts[i] = parts[i].replace("</calculation>", "")
    mixed = parts[0] + "".join(
        ("" if i in (2, 3, 5) else "<calculation>") + part
        for i, part in enumerate(parts[1:], start=1)
    )
    whole = read_trajectory(path)
    path.write_text(
        mixed.replace("<incar>", '<structure name="initialpos"><x/></structure><incar>')
    )
    read = read_trajectory(path)
    np.testing.assert_array_equal(read.positions, whole.positions)
    path.write_text(mixed.replace("</incar>", '<i type="int" name="ML_OUTBLOCK">10</i></incar>'))
    assert read_trajectory(path).timestep == 10 * whole.timestep
    path.write_text(text.replace('IBRION">0', 'IBRION">2'))
    with pytest.raises(ValueError, match="carries no time"):
        read_trajectory(path)


def test_trr_with_other_intervals_of_velocities(tmp_path):
    trr(tmp_path / "whole.trr", run_of())
    content = (tmp_path / "whole.trr").read_bytes()
    size = len(content) // 6
    velocities = (
        struct.pack(">i", 1993)
        + content[4:24]
        + struct.pack(">10i", 0, 0, 36, 0, 0, 0, 0, 0, 96, 0)
    )
    velocities += content[64:76] + content[76:84] + content[84:120] + content[120:216]
    mixed = b"".join(content[k * size : (k + 1) * size] + 2 * velocities for k in range(6))
    (tmp_path / "run.trr").write_bytes(mixed)
    read = read_trajectory(tmp_path / "run.trr", TOP, chunk=4)
    np.testing.assert_array_equal(
        read.positions, read_trajectory(tmp_path / "whole.trr", TOP).positions
    )
    assert read.timestep == 0.5
    (tmp_path / "run.trr").write_bytes(velocities * 5)
    with pytest.raises(ValueError, match="its 5 frames are without positions"):
        read_trajectory(tmp_path / "run.trr", TOP, timestep=0.5)


@pytest.mark.parametrize("opener", [gzip, bz2, lzma])
@pytest.mark.parametrize("kind", ["dump", "XDATCAR", "extxyz"])
def test_compressed_and_cut(tmp_path, opener, kind):
    {"dump": lambda p, r: p.write_text(dump_text(r)), "XDATCAR": xdatcar, "extxyz": extxyz}[kind](
        tmp_path / f"run.{kind}", run_of()
    )
    content = (tmp_path / f"run.{kind}").read_bytes()
    suffix = {"gzip": "gz", "bz2": "bz2", "lzma": "xz"}[opener.__name__]
    path = tmp_path / f"run.{kind}.{suffix}"
    path.write_bytes(opener.compress(content))
    plain = read_trajectory(tmp_path / f"run.{kind}", timestep=0.5)
    np.testing.assert_array_equal(read_trajectory(path, timestep=0.5).positions, plain.positions)
    path.write_bytes(opener.compress(content)[:-40])
    with pytest.raises(ValueError, match=r"breaks off|ends"):
        read_trajectory(path, timestep=0.5)


def test_models_of_a_pdb_are_counted(tmp_path):
    pdb(tmp_path / "run.pdb", run_of().standard())
    text = (tmp_path / "run.pdb").read_text()
    (tmp_path / "run.pdb").write_text(text.replace("ENDMDL\n", "", 1))
    with pytest.raises(ValueError, match=r"(MODEL inside a model|whole models)"):
        read_trajectory(tmp_path / "run.pdb")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("   1.", "   x.", r"after frame 0: line \d+: coordinates in columns 31 to 54 expected"),
        ("CRYST1   11", "CRYST1   1x", "line 2: a CRYST1 record expected"),
    ],
)
def test_what_is_wrong_with_a_pdb(tmp_path, old, new, message):
    pdb(tmp_path / "run.pdb", run_of("orthogonal"))
    text = (tmp_path / "run.pdb").read_text()
    assert old in text
    (tmp_path / "run.pdb").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_trajectory(tmp_path / "run.pdb")


def test_alternate_locations_in_a_pdb(tmp_path):
    """mdtraj takes the first of two; the element columns are those of the atoms that it takes."""
    run = replace(run_of().standard(), names=("CA", "CB", "NA", "ND", "O", "HG", "HE", "SI"))
    pdb(tmp_path / "run.pdb", run)
    lines = []
    for line in (tmp_path / "run.pdb").read_text().splitlines(keepends=True):
        if line.startswith("HETATM") and line[6:11].strip() == "2":
            lines.append(line[:16] + "A" + line[17:])
            line = line[:16] + "B" + line[17:]
        lines.append(line)
    (tmp_path / "run.pdb").write_text("".join(lines))
    with pytest.warns(UserWarning, match="1 of 9 atoms in run.pdb are alternate locations"):
        read = read_trajectory(tmp_path / "run.pdb")
    assert read.species.tolist() == [3, 17, 16, 11, 8, 1, 1, 14]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ITEM: NUMBER OF ATOMS\n8", "ITEM: NUMBER OF ATOMS\n9", "9 columns|columns of an atom"),
        ("ITEM: BOX BOUNDS", "ITEM: BOX BOUNDARIES", "line 7: a line ITEM: expected"),
        ("abc origin pp pp pp\n", "abc origin pp pp pp\nx", "line 6: 4 numbers of the box"),
        (
            "ITEM: TIMESTEP\n500\n",
            "ITEM: TIMESTEP\nfive\n",
            "line 2: a step number expected, got 'five'",
        ),
        ("ITEM: TIMESTEP\n500\n", "hello\nITEM: TIMESTEP\n500\n", "line 1: a line ITEM: expected"),
        ("id type element x y z", "id type element q r s", "no columns of positions among"),
        ("id type element", "nr type element", "without a column id"),
    ],
)
def test_what_is_wrong_with_a_dump(tmp_path, old, new, message):
    text = dump_text(run_of())
    assert old in text
    (tmp_path / "run.dump").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_trajectory(tmp_path / "run.dump", timestep=0.5, format="lammps-dump")


def test_a_broken_line_of_a_dump_is_named(tmp_path):
    lines = dump_text(run_of()).splitlines(keepends=True)
    per_frame = len(lines) // 6
    number = 2 * per_frame + 12
    lines[number - 1] = lines[number - 1].split()[0] + " 1 Li 0.5 abc 1.5\n"
    (tmp_path / "run.dump").write_text("".join(lines))
    with pytest.raises(
        ValueError, match=rf"after frame 2: line {number}: 6 columns .* 1 Li 0.5 abc 1.5'"
    ):
        read_trajectory(tmp_path / "run.dump", timestep=0.5)


def with_ids(change):
    """A dump whose third frame has other ids."""
    parts = dump_text(run_of()).split("ITEM: TIMESTEP")
    parts[3] = change(parts[3])
    return "ITEM: TIMESTEP".join(parts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: p.replace("\n3 ", "\n30 "),
            "other ids in frame 2 .*id 3 is gone and id 30 is new",
        ),
        (lambda p: p.replace("\n3 ", "\n4 "), r"other ids in frame 2 .*id 3 is gone"),
        (lambda p: p.replace(" Cl ", " Br "), "element Br for id 2, which was Cl in the first"),
        (lambda p: p.replace("\n2 2 ", "\n2 7 "), "type 7 for id 2, which was 2 in the first"),
    ],
)
def test_ids_stay_with_their_atoms(tmp_path, change, message):
    (tmp_path / "run.dump").write_text(with_ids(change))
    with pytest.raises(ValueError, match=message):
        read_trajectory(tmp_path / "run.dump", timestep=0.5)


def test_two_atoms_of_one_id(tmp_path):
    (tmp_path / "run.dump").write_text(dump_text(run_of()).replace("\n3 ", "\n4 "))
    with pytest.raises(ValueError, match="two atoms of id 4"):
        read_trajectory(tmp_path / "run.dump", timestep=0.5)


def test_gro_of_other_atoms(tmp_path):
    run = run_of()
    gro(tmp_path / "a.gro", run)
    gro(tmp_path / "b.gro", replace(run, names=(*run.names[:6], "S", "O")))
    (tmp_path / "run.gro").write_text(
        (tmp_path / "a.gro").read_text() + (tmp_path / "b.gro").read_text()
    )
    with pytest.raises(
        ValueError, match=r"for atom 6 in frame 6 of .* which is '7H +H' in the first"
    ):
        read_trajectory(tmp_path / "run.gro", ignore_times=True, timestep=1.0)


def test_topology_contradicts_types(tmp_path):
    """Numbers of types are no elements, but one type is one element."""
    text = dump_text(run_of()).replace("id type element", "id type mol")
    text = text.replace(" Li ", " 1 ").replace(" Cl ", " 1 ")
    for symbol in set(SYMBOLS):
        text = text.replace(f" {symbol} ", " 1 ")
    (tmp_path / "run.dump").write_text(text)
    assert read_trajectory(tmp_path / "run.dump", TOP, 0.5).species.tolist()[:2] == [3, 17]
    shifted = topology_of((*SYMBOLS[1:], SYMBOLS[0]))
    with pytest.raises(ValueError, match=r"got H for atom 5 and Si for atom 6, .* of type 6"):
        read_trajectory(tmp_path / "run.dump", shifted, 0.5)


@pytest.mark.parametrize("write", [xdatcar, extxyz, vasprun])
def test_topology_in_another_order(tmp_path, write):
    path = tmp_path / {"xdatcar": "XDATCAR", "vasprun": "vasprun.xml"}.get(
        write.__name__, "run.extxyz"
    )
    write(path, run_of())
    order = sorted(SYMBOLS) if write is xdatcar else list(SYMBOLS)
    right, wrong = topology_of(tuple(order)), topology_of((order[1], order[0], *order[2:]))
    timestep = None if write is vasprun else 0.5
    assert read_trajectory(path, right, timestep).topology is not None
    if order[0] != order[1]:
        with pytest.raises(
            ValueError, match=rf"got {order[1]} for atom 0, which is {order[0]} in the file"
        ):
            read_trajectory(path, wrong, timestep)


def test_formats_are_found_by_content_and_by_name(tmp_path):
    for name in ("dump.out", "dump.1000", "traj", "dump.lammps"):
        (tmp_path / name).write_text(dump_text(run_of()))
        assert len(read_trajectory(tmp_path / name, timestep=0.5)) == 6
    (tmp_path / "out.txt").write_text(HEAD + frames(1, 5))
    assert len(read_trajectory(tmp_path / "out.txt", timestep=0.5)) == 4
    xtc(tmp_path / "run.xtc", run_of())
    copy = (tmp_path / "run.xtc").rename(tmp_path / "run.data")
    assert len(read_trajectory(copy, TOP, format="xtc")) == 6
    with pytest.raises(ValueError, match="format must be one of"):
        read_trajectory(copy, TOP, format="xyzzy")
    with pytest.raises(TypeError, match="format must be a str"):
        read_trajectory(copy, TOP, format=3)


def test_a_format_of_ones_own(tmp_path):
    @reader("numbers", r".*\.numbers")
    def read_numbers(path, structure, chunk):
        values = np.loadtxt(path).reshape(-1, 2, 3)
        block = FrameBlock(
            values, np.repeat(TRICLINIC[None], len(values), 0), np.arange(len(values)) * 0.25
        )
        return Contents("numbers", 2, iter([block]), atoms_from_symbols(["Li", "S"]))

    try:
        path = tmp_path / "run.numbers"
        np.savetxt(path, np.arange(30.0).reshape(-1, 6))
        assert find_reader(path).format == "numbers"
        read = read_trajectory(path)
        assert (len(read), read.timestep, read.species.tolist()) == (5, 0.25, [3, 16])
    finally:
        del READERS["numbers"]


def test_errors_of_other_parsers_are_named(tmp_path):
    @reader("broken", r".*\.broken")
    def read_broken(path, structure, chunk):
        def blocks():
            yield FrameBlock(np.zeros((2, 1, 3)))
            raise KeyError("section 7")

        return Contents("broken", 1, blocks(), atoms_from_symbols(["Li"]))

    try:
        (tmp_path / "run.broken").write_text("x")
        with pytest.raises(
            ValueError, match=r"its reader failed after frame 2: KeyError: 'section 7'"
        ):
            read_trajectory(tmp_path / "run.broken", timestep=1.0)
    finally:
        del READERS["broken"]


def test_memory_stays_flat(tmp_path):
    """Chunks and strides give the frames of the whole."""
    run = run_of().repeated(5)
    xdatcar(tmp_path / "XDATCAR", run)
    whole = read_trajectory(tmp_path / "XDATCAR", timestep=0.5)
    for chunk in (1, 7, 30):
        part = read_trajectory(tmp_path / "XDATCAR", timestep=0.5, chunk=chunk, stride=4)
        np.testing.assert_array_equal(part.positions, whole.positions[::4])
    assert isinstance(TOP, md.Topology)
