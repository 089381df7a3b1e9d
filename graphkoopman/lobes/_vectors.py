"""Short vectors as values in compiled code: one row of features, kept in SIMD registers.

Loops over the features of an edge are too short for a compiler that must first prove that no two
arrays overlap. A :class:`Vector` is read whole, computed with, and written whole::

    @njit
    def weighted_rows(lanes, array, weights):
        total = zeros(array, lanes)
        for i in range(len(array)):
            total = total + weights[i] * load(array, len(lanes) * i, lanes)
        return total_of(total)

They stand on internals of numba and llvmlite, so the versions tested are those pyproject.toml
allows. What they bring over plain loops is printed by ``python -m benchmarks.plain_loops``: the
kernels are two to three times as fast.

Public: :func:`load`, :func:`store`, :func:`element`, :func:`pack`, :func:`zeros`,
:func:`positive_part`, :func:`where_positive`, :func:`total_of`; vectors add and multiply, and a
scalar multiplies a vector. The length must be known to the compiler: it is that of ``lanes``, any
tuple, whose type holds it. Arrays are C-contiguous and indices are not checked. They exist in
compiled code only.
"""

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model


class Vector(types.Type):
    """Numba type of ``size`` numbers of one floating type."""

    def __init__(self, dtype: types.Type, size: int) -> None:
        self.dtype, self.size = dtype, size
        super().__init__(f"Vector({dtype}, {size})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        number = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(number, vector.size))


def _address(context: Any, builder: Any, array: Any, value: Any, start: Any, vector: Vector) -> Any:
    """Pointer to an element of an array, as a pointer to a vector."""
    data = context.make_array(array)(context, builder, value).data
    first = builder.gep(data, [start])
    return builder.bitcast(first, context.get_value_type(vector).as_pointer())


@intrinsic
def load(typingctx, array, start, lanes):
    """Numbers of a contiguous array from element ``start`` of its memory on, one per lane."""
    vector = Vector(array.dtype, lanes.count)

    def code(context, builder, signature, arguments):
        value, start, _ = arguments
        start = context.cast(builder, start, signature.args[1], types.intp)
        address = _address(context, builder, array, value, start, vector)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return vector(array, start, lanes), code


@intrinsic
def store(typingctx, array, start, vector):
    """Write a vector where :func:`load` reads it."""

    def code(context, builder, signature, arguments):
        value, start, numbers = arguments
        start = context.cast(builder, start, signature.args[1], types.intp)
        address = _address(context, builder, array, value, start, vector)
        builder.store(numbers, address, align=vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, start, vector), code


@intrinsic(prefer_literal=True)
def element(typingctx, vector, index):
    """One number of a vector; the index is a compile-time constant."""
    place = index.literal_value

    def code(context, builder, signature, arguments):
        return builder.extract_element(arguments[0], ir.Constant(ir.IntType(32), place))

    return vector.dtype(vector, index), code


@intrinsic
def zeros(typingctx, array, lanes):
    """A vector of zeros of the array's type."""
    vector = Vector(array.dtype, lanes.count)

    def code(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(vector), None)

    return vector(array, lanes), code


@intrinsic
def pack(typingctx, a, b, c, d):
    """A vector of four numbers of one type."""
    vector = Vector(a, 4)

    def code(context, builder, signature, arguments):
        packed = ir.Constant(context.get_value_type(vector), ir.Undefined)
        for place, number in enumerate(arguments):
            packed = builder.insert_element(packed, number, ir.Constant(ir.IntType(32), place))
        return packed

    return vector(a, b, c, d), code


@intrinsic
def positive_part(typingctx, vector):
    """Elementwise ``max(x, 0)``."""

    def code(context, builder, signature, arguments):
        (x,) = arguments
        zero = ir.Constant(x.type, None)
        return builder.select(builder.fcmp_ordered(">", x, zero), x, zero)

    return vector(vector), code


@intrinsic
def where_positive(typingctx, condition, vector):
    """The vector where the condition is above zero, zero elsewhere."""

    def code(context, builder, signature, arguments):
        condition, x = arguments
        zero = ir.Constant(x.type, None)
        return builder.select(builder.fcmp_ordered(">", condition, zero), x, zero)

    return vector(condition, vector), code


@intrinsic
def total_of(typingctx, vector):
    """Sum of the numbers of a vector."""

    def code(context, builder, signature, arguments):
        (x,) = arguments
        number = x.type.element
        # the sum may be reordered over lanes, as `fastmath` of the kernels allows
        name = f"llvm.vector.reduce.fadd.v{vector.size}f{vector.dtype.bitwidth}"
        reduce = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(number, [number, x.type]), name
        )
        return builder.call(reduce, [ir.Constant(number, -0.0), x], fastmath=("reassoc",))

    return vector.dtype(vector), code


@intrinsic
def _sum(typingctx, a, b):
    def code(context, builder, signature, arguments):
        return builder.fadd(*arguments, flags=("contract",))

    return a(a, b), code


@intrinsic
def _product(typingctx, a, b):
    def code(context, builder, signature, arguments):
        return builder.fmul(*arguments, flags=("contract",))

    return a(a, b), code


@intrinsic
def _scaled(typingctx, scalar, vector):
    def code(context, builder, signature, arguments):
        scalar, x = arguments
        first = builder.insert_element(
            ir.Constant(x.type, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
        )
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.size), None)
        everywhere = builder.shuffle_vector(first, first, lanes)
        return builder.fmul(everywhere, x, flags=("contract",))

    return vector(scalar, vector), code


@overload(operator.add)
def _add(a, b):
    if isinstance(a, Vector) and a == b:
        return lambda a, b: _sum(a, b)
    return None


@overload(operator.mul)
def _multiply(a, b):
    if isinstance(a, Vector) and a == b:
        return lambda a, b: _product(a, b)
    if isinstance(b, Vector) and a == b.dtype:
        return lambda a, b: _scaled(a, b)
    return None
