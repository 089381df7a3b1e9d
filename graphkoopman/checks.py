"""Checks of single numbers, the same words everywhere: `check_integer`, `check_number`.

`WrongArgument` is a ValueError and a TypeError at once: which of the two a value such as ``2.5`` or
``True`` in place of a whole number deserves is a matter of taste, and callers catch either.
"""

import math
import numbers
from typing import Any


class WrongArgument(ValueError, TypeError):
    """An argument of the wrong type."""


def check_integer(value: Any, name: str, minimum: int, maximum: int | None = None) -> int:
    """A whole number within bounds.

    Parameters
    ----------
    value : int
        Of Python or numpy; neither a boolean nor a float that happens to be whole.
    name : str
        Of the argument, for messages.
    minimum : int
    maximum : int or None

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it is none; one of the wrong type raises a `WrongArgument`, which is a TypeError, too.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise WrongArgument(f"{name} must be an integer >= {minimum}, got {value!r}")
    number = int(value)
    if number < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {value!r}")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {value!r}")
    return number


def is_integer(value: Any, minimum: int) -> bool:
    """Whether `check_integer` takes a value."""
    try:
        check_integer(value, "", minimum)
    except ValueError:
        return False
    return True


def check_number(
    value: Any,
    name: str,
    *,
    above: float = -math.inf,
    minimum: float = -math.inf,
    maximum: float = math.inf,
) -> float:
    """A finite real number within bounds.

    Parameters
    ----------
    value : float
        Any real number but a boolean.
    name : str
        Of the argument, for messages.
    above, minimum, maximum : float
        It must be greater than the first, and between the others.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is none; one of the wrong type raises a `WrongArgument`, which is a TypeError, too.
    """
    if above == 0.0:
        expected = "a positive number"
    elif minimum > -math.inf:
        expected = f"a number >= {minimum:g}"
    else:
        expected = "a finite number"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise WrongArgument(f"{name} must be {expected}, got {value!r}")
    number = float(value)
    if not (math.isfinite(number) and number > above and number >= minimum):
        raise ValueError(f"{name} must be {expected}, got {value!r}")
    if number > maximum:
        raise ValueError(f"{name} must be at most {maximum:g}, got {value!r}")
    return number


def is_positive(value: Any) -> bool:
    """Whether a value is a positive and finite number."""
    try:
        check_number(value, "", above=0.0)
    except ValueError:
        return False
    return True


def check_choice(value: Any, name: str, choices: tuple[Any, ...]) -> Any:
    """One of a few strings, or None where it is among them."""
    if not isinstance(value, str | None) or value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got {value!r}")
    return value
