"""Gradients of parameters, summed over chunks and processes: `ParameterGradients`."""

from typing import Any

import torch
from torch import Tensor

from graphkoopman.ranks import Reducer


class ParameterGradients:
    """Sums in float64 of what chunks give, rounded once at the end.

    Chunks are the same on any number of processes as long as each has whole runs. A gradient in
    float32 has 24 of the 53 bits of a float64, so that the sum of all chunks has no rounding, or
    hardly any, and its bits do not depend on which process has added what.

    Parameters
    ----------
    function : callable
        A module or a method of one. Of other functions nothing is known, and `take` leaves their
        gradients where they are.

    Attributes
    ----------
    parameters : list of Parameter
        That are trained.
    """

    def __init__(self, function: Any) -> None:
        module = getattr(function, "__self__", function)
        known = module.parameters() if isinstance(module, torch.nn.Module) else ()
        self.parameters = [parameter for parameter in known if parameter.requires_grad]
        self._before = [parameter.grad for parameter in self.parameters]
        self.clear()

    def clear(self) -> None:
        """Forget what was taken."""
        self._total: Tensor | None = None
        for parameter in self.parameters:
            parameter.grad = None

    def take(self) -> None:
        """Move the gradients of a chunk from the parameters into the sum."""
        if not self.parameters:
            return
        parts = []
        for parameter in self.parameters:
            given = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parts.append(given.detach().reshape(-1))
            parameter.grad = None
        flat = torch.cat(parts)
        self._total = flat.double() if self._total is None else self._total.add_(flat)

    def add_to_parameters(self, reducer: Reducer) -> None:
        """Add the sum over all processes to the gradients that were there before.

        Those that no chunk has reached get zero: processes do not know it of each other, and the
        norm of the gradient has the same bits on any number of them.
        """
        if not self.parameters:
            return
        sizes = [parameter.numel() for parameter in self.parameters]
        total = self._total
        if total is None:  # no frame of the batch is of this process
            total = self.parameters[0].new_zeros(sum(sizes), dtype=torch.float64)
        reducer.add(total)
        entries = zip(self.parameters, self._before, total.split(sizes), strict=True)
        for parameter, before, part in entries:
            gradient = part.to(parameter.dtype).view_as(parameter)
            parameter.grad = gradient if before is None else before + gradient
