"""Downloads from a server on this machine: whole, broken off and gone on with, damaged."""

import logging
import re
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pooch
import pytest

from graphkoopman import load_gdynet_npz
from graphkoopman.datasets import fetch_gdynet
from graphkoopman.datasets._fetch import CHUNK

FILE = "li2s-traj.npz"


class Archive(BaseHTTPRequestHandler):
    """Serves one body with ranges; ``server.limit`` bytes of a reply at most are sent."""

    def do_GET(self):
        body = self.server.bodies.get(self.path.split("?")[0].lstrip("/"))
        if body is None:
            self.send_error(404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.server.ranges else 0
        self.server.starts.append(start)
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:][: self.server.limit])

    def log_message(self, *_):
        pass


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "made.npz"
    np.savez(
        path,
        traj_coords=np.random.default_rng(0).random((500, 5, 3)),
        lattices=np.tile(6.5 * np.eye(3), (500, 1, 1)),
        atom_types=np.array([3, 16, 16, 16, 16]),
        target_index=np.array([0]),
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        server.bodies, server.starts = {FILE: path.read_bytes()}, []
        server.limit, server.ranges = None, True
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quiet():
    pooch.get_logger().setLevel(logging.ERROR)


def fetch(archive, tmp_path, name="toy"):
    return fetch_gdynet(name, cache_dir=tmp_path / "cache", url=archive.url)


def break_off(archive, tmp_path, n_bytes):
    archive.limit = n_bytes
    with pytest.raises(ConnectionError, match=f"{n_bytes} bytes are kept"):
        fetch(archive, tmp_path)
    archive.limit = None


def test_second_call_reads_the_cache(archive, tmp_path):
    (path,) = fetch(archive, tmp_path)
    assert path.read_bytes() == archive.bodies[FILE]
    assert load_gdynet_npz(path, timestep=0.1).positions.shape == (500, 5, 3)
    archive.bodies.clear()
    assert fetch(archive, tmp_path) == [path]
    assert archive.starts == [0]


def test_five_runs_of_the_electrolyte(archive, tmp_path):
    archive.bodies = {f"peo-traj-{x}.npz": x.encode() for x in "abcde"}
    assert b"".join(p.read_bytes() for p in fetch(archive, tmp_path, "peo_litfsi")) == b"abcde"


def test_goes_on_where_it_broke_off(archive, tmp_path):
    break_off(archive, tmp_path, 2 * CHUNK)
    (path,) = fetch(archive, tmp_path)
    assert path.read_bytes() == archive.bodies[FILE]
    assert archive.starts == [0, 2 * CHUNK]
    assert not path.with_name(FILE + ".part").exists()


def test_begins_again_where_the_server_gives_no_ranges(archive, tmp_path):
    break_off(archive, tmp_path, 2 * CHUNK)
    archive.ranges = False
    (path,) = fetch(archive, tmp_path)
    assert path.read_bytes() == archive.bodies[FILE]


@pytest.mark.parametrize("extra", [b"", b"of another file"])
def test_part_as_long_as_the_file_or_longer(archive, tmp_path, extra):
    part = tmp_path / "cache" / (FILE + ".part")
    part.parent.mkdir()
    part.write_bytes(archive.bodies[FILE] + extra)
    if extra:
        with pytest.raises(ConnectionError, match="does not fit this file, it was removed"):
            fetch(archive, tmp_path)
    (path,) = fetch(archive, tmp_path)
    assert path.read_bytes() == archive.bodies[FILE]


def test_damaged_file_in_the_cache_is_downloaded_anew(archive, tmp_path):
    (path,) = fetch(archive, tmp_path)
    path.write_bytes(path.read_bytes()[:-10] + 10 * b"x")
    assert fetch(archive, tmp_path)[0].read_bytes() == archive.bodies[FILE]


def test_other_bytes_than_at_first_are_refused(archive, tmp_path):
    (path,) = fetch(archive, tmp_path)
    path.unlink()
    archive.bodies[FILE] = archive.bodies[FILE][:-1] + b"x"
    with pytest.raises(ValueError, match="no longer has the checksum of its first download"):
        fetch(archive, tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("missing", [True, False])
def test_without_the_archive_the_error_says_what_to_do(archive, tmp_path, missing):
    archive.bodies.clear()
    url = archive.url if missing else "http://127.0.0.1:9"  # the discard port, where nobody listens
    with pytest.raises(ConnectionError, match=rf"put {FILE} of doi:10\.24435.* into .*cache"):
        fetch_gdynet("toy", cache_dir=tmp_path / "cache", url=url)


def test_file_put_there_by_hand_needs_no_network(archive, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / FILE).write_bytes(archive.bodies[FILE])
    assert fetch(archive, tmp_path) == [cache / FILE]
    assert archive.starts == []


def test_unknown_name():
    with pytest.raises(ValueError, match="name must be one of toy, si_au, peo_litfsi"):
        fetch_gdynet("lithium")
