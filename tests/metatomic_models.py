"""A metatomic model of two features, for the tests of descriptors.

A file of its own: torch compiles the module and looks for its types among the names of the file.
"""

import warnings
from typing import Dict, List, Optional  # noqa: UP035 - the compiler knows no others

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the compiler itself
    from metatensor.torch import Labels, TensorBlock, TensorMap
    from metatomic.torch import (
        AtomisticModel,
        ModelCapabilities,
        ModelMetadata,
        ModelOutput,
        System,
    )


class Numbers(torch.nn.Module):
    """The atomic number of every atom and the mean of its coordinates."""

    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels],  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        system = systems[0]
        index = torch.arange(len(system), dtype=torch.int32)
        samples = torch.stack([torch.zeros_like(index), index], dim=1)
        numbers = system.types.to(system.positions.dtype)
        values = torch.stack([numbers, system.positions.mean(dim=1)], dim=1)
        block = TensorBlock(
            values,
            Labels(["system", "atom"], samples),
            torch.jit.annotate(List[Labels], []),  # noqa: UP006
            Labels(["feature"], torch.arange(2, dtype=torch.int32).reshape(-1, 1)),
        )
        keys = Labels(["_"], torch.zeros((1, 1), dtype=torch.int32))
        name = list(outputs.keys())[0]  # noqa: RUF015
        return {name: TensorMap(keys, [block])}


def metatomic_model(output: str = "feature") -> AtomisticModel:
    """The model, with an output of this name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the name of before, which models have
        capabilities = ModelCapabilities(
            outputs={output: ModelOutput(sample_kind="atom")},
            atomic_types=[3, 16, 17],
            interaction_range=0.0,
            length_unit="angstrom",
            supported_devices=["cpu"],
            dtype="float64",
        )
        return AtomisticModel(Numbers().eval(), ModelMetadata(), capabilities)
