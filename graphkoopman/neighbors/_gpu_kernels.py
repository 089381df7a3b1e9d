"""The search of `_search` on a GPU, in Triton: one program per atom, from the bins of its frame.

`collect` writes all atoms inside a sphere as they come, `rank` brings them into the order of
`nearest_of`: by distance, then by index. Differences, squares and sums are those of the CPU in its
order, in float64 and with none fused, so that both find the same neighbours at the same distances,
bit by bit.

With ``TRITON_INTERPRET=1`` in the environment the same code runs on a CPU, slowly, for tests.
"""

import triton
import triton.language as tl

LANES = 32  # candidates that a program looks at in one turn
COMPARED = tl.constexpr(16)  # and those that it compares all others with


@triton.jit
def _bins_touched(coordinate, reach, n, periodic):
    """First and last bin within reach (in bins) of a coordinate, as of the CPU."""
    low, high = coordinate - reach, coordinate + reach
    if periodic == 0:
        low = tl.minimum(tl.maximum(low, 0.0), n - 1.0)
        high = tl.minimum(high, n - 1.0)
    return tl.floor(low).to(tl.int32), tl.floor(high).to(tl.int32)


@triton.jit
def _gap(coordinate, index, width, slack):
    """A lower bound, in Å, on the distance from a coordinate to a layer of bins."""
    beside = tl.maximum(index - coordinate, coordinate - index - 1.0)
    return tl.maximum(0.0, beside * width - slack)


@triton.jit
def _image(index, n):
    """Of which image of the cell a bin is; a division that rounds down."""
    return tl.floor(index / n.to(tl.float64)).to(tl.int32)


@triton.jit
def collect(
    centers,  # (n_rows,) int64: slot
    frames,  # (n_rows,) int64
    radii,  # (n_rows,) float64, Å
    x,  # (n_slots,) float64, wrapped, Å
    y,
    z,
    u,  # (3, n_slots) float64, in bins
    atoms,  # (n_slots,) int32
    starts,  # first slot of every bin of every frame, int64
    first_bins,  # (n_frames,) int64
    shapes,  # (n_frames, 3) int32
    widths,  # (n_frames, 3) float64, Å
    boxes,  # (n_frames, 3, 3) float64, Å
    packings,  # (n_frames,) float64
    slacks,  # (n_frames,) float64
    counts,  # (n_rows,) int32, out: those found, also beyond the capacity
    out_atoms,  # (n_rows, CAPACITY) int32, out
    out_squares,  # (n_rows, CAPACITY) float64, out, Å²
    n_slots,
    periodic,
    CAPACITY: tl.constexpr,
    LANES: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    center, frame = tl.load(centers + row), tl.load(frames + row)
    radius = tl.load(radii + row)
    x0, y0, z0 = tl.load(x + center), tl.load(y + center), tl.load(z + center)
    u0 = tl.load(u + center)
    u1 = tl.load(u + n_slots + center)
    u2 = tl.load(u + 2 * n_slots + center)
    n0 = tl.load(shapes + 3 * frame)
    n1 = tl.load(shapes + 3 * frame + 1)
    n2 = tl.load(shapes + 3 * frame + 2)
    w0 = tl.load(widths + 3 * frame)
    w1 = tl.load(widths + 3 * frame + 1)
    w2 = tl.load(widths + 3 * frame + 2)
    box = boxes + 9 * frame
    a_x, a_y, a_z = tl.load(box), tl.load(box + 1), tl.load(box + 2)
    b_x, b_y, b_z = tl.load(box + 3), tl.load(box + 4), tl.load(box + 5)
    c_x, c_y, c_z = tl.load(box + 6), tl.load(box + 7), tl.load(box + 8)
    packing, slack = tl.load(packings + frame), tl.load(slacks + frame)
    first_bin = tl.load(first_bins + frame)
    limit = radius * radius
    lanes = tl.arange(0, LANES)
    out = row * CAPACITY
    found = 0
    first0, last0 = _bins_touched(u0, (radius + slack) / w0, n0, periodic)
    first1, last1 = _bins_touched(u1, (radius + slack) / w1, n1, periodic)
    for i0 in range(first0, last0 + 1):
        gap0 = _gap(u0, i0, w0, slack)
        image0 = _image(i0, n0)
        for i1 in range(first1, last1 + 1):
            gap1 = _gap(u1, i1, w1, slack)
            image1 = _image(i1, n1)
            # no point of the row of bins is nearer than this bound
            lateral = gap0 * gap0 + gap1 * gap1
            nearest = tl.maximum(packing * lateral, tl.maximum(gap0 * gap0, gap1 * gap1))
            reach = tl.sqrt(tl.minimum(limit, tl.maximum(0.0, limit / packing - lateral)))
            i2, last2 = _bins_touched(u2, (reach + slack) / w2, n2, periodic)
            last2 = tl.where(nearest > limit, i2 - 1, last2)
            line = first_bin + ((i0 - image0 * n0) * n1 + i1 - image1 * n1) * n2
            # bins of a row are neighbours in memory until the row enters the next image
            while i2 <= last2:
                image2 = _image(i2, n2)
                stop = tl.minimum(last2 + 1, (image2 + 1) * n2)
                shift_x = image0 * a_x + image1 * b_x + image2 * c_x
                shift_y = image0 * a_y + image1 * b_y + image2 * c_y
                shift_z = image0 * a_z + image1 * b_z + image2 * c_z
                at_home = (image0 == 0) & (image1 == 0) & (image2 == 0)
                itself = tl.where(at_home, center, -1)
                begin = tl.load(starts + line + i2 - image2 * n2)
                end = tl.load(starts + line + stop - image2 * n2)
                for turn in range(begin, end, LANES):
                    j = turn + lanes
                    on = j < end
                    dx = (tl.load(x + j, mask=on, other=0.0) - x0) + shift_x
                    dy = (tl.load(y + j, mask=on, other=0.0) - y0) + shift_y
                    dz = (tl.load(z + j, mask=on, other=0.0) - z0) + shift_z
                    squared = dx * dx + dy * dy + dz * dz
                    kept = (on & (squared <= limit) & (j != itself)).to(tl.int32)
                    place = found + tl.cumsum(kept, axis=0) - kept
                    fits = (kept > 0) & (place < CAPACITY)
                    tl.store(out_squares + out + place, squared, mask=fits)
                    tl.store(out_atoms + out + place, tl.load(atoms + j, mask=on), mask=fits)
                    found += tl.sum(kept, axis=0)
                i2 = stop
    tl.store(counts + row, found)


@triton.jit
def rank(
    counts,  # (n_rows,) int32
    atoms,  # (n_rows, CAPACITY) int32
    squares,  # (n_rows, CAPACITY) float64, Å²
    out_atoms,  # the same, by rising distance, those of equal distance by rising index
    out_squares,
    CAPACITY: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    n = tl.minimum(tl.load(counts + row), CAPACITY)
    i = tl.arange(0, CAPACITY)
    on = i < n
    square = tl.load(squares + row * CAPACITY + i, mask=on, other=0.0)
    atom = tl.load(atoms + row * CAPACITY + i, mask=on, other=0)
    # the place of a neighbour is the number of those that come before it
    place = tl.zeros([CAPACITY], tl.int32)
    for begin in range(0, n, COMPARED):
        j = begin + tl.arange(0, COMPARED)
        inside = j < n
        other = tl.load(squares + row * CAPACITY + j, mask=inside, other=0.0)[None, :]
        name = tl.load(atoms + row * CAPACITY + j, mask=inside, other=0)[None, :]
        # images of one atom may be equally far: these are alike, and stand as they came
        same = (name < atom[:, None]) | ((name == atom[:, None]) & (j[None, :] < i[:, None]))
        before = (other < square[:, None]) | ((other == square[:, None]) & same)
        place += tl.sum((before & inside[None, :]).to(tl.int32), axis=1)
    tl.store(out_atoms + row * CAPACITY + place, atom, mask=on)
    tl.store(out_squares + row * CAPACITY + place, square, mask=on)
