"""Do the gates of trained runs depend on the image, in a way that its class needs?

Each image of val passes through the network once as usual, and once with the gates of another
image, drawn at random, in every module that has gates. If the accuracy is the same, constants would
do as well as gates. A table has a row for each run, with both accuracies and their difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from plugins.classification.proofs.trained import Trained, prove_runs
from plugins.classification.proofs.training import Row

__all__ = ["shuffle"]

GATES = ("gate", "gates", "mask")
"""How modules call what makes their gates."""


def _rows(run: Trained) -> Iterator[Row]:
    modules = [module for module in run.model.modules() if _gates_of(module)]
    if not modules:
        return
    # The images lie sorted by class: in their order most gates would come from the same class.
    order = torch.randperm(len(run.images), generator=torch.Generator().manual_seed(0)).tolist()
    own = _right(run, order)
    for module in modules:
        shuffle(module)
    others = _right(run, order)
    yield run.row() | {
        "modules": len(modules),
        "images": len(order),
        "accuracy": own,
        "accuracy_shuffled": others,
        "difference": own - others,
    }


def _right(run: Trained, order: list[int]) -> float:
    right = [
        run.model(inputs).argmax(dim=1) == torch.stack([sample.label for sample in samples])
        for inputs, samples in run.batches(order)
    ]
    return torch.cat(right).float().mean().item()


def _gates_of(module: nn.Module) -> list[str]:
    """Return the names of what makes the gates of a mechanism's module."""
    return [name for name in GATES if hasattr(module, "mechanism") and hasattr(module, name)]


def shuffle(module: nn.Module) -> None:
    """Let a mechanism's module gate each image of a batch with all the gates of the one before it.

    They are those that the other image has by itself: also where one gate is made of what another
    one leaves.
    """
    gates = [_Other(getattr(module, name)) for name in _gates_of(module)]
    for name, gate in zip(_gates_of(module), gates, strict=True):
        vars(module)[name] = gate
    own = module.forward

    def forward(x: Tensor) -> Tensor:
        for gate in gates:
            gate.made = None
        own(x)
        out: Tensor = own(x)
        return out

    vars(module)["forward"] = forward


class _Other:
    """Makes gates when it is asked first, and returns those of other images when asked again."""

    def __init__(self, make: Callable[..., Tensor]) -> None:
        self.make = make
        self.made: Tensor | None = None

    def __call__(self, *inputs: Any) -> Tensor:
        if self.made is None:
            self.made = self.make(*inputs)
            return self.made
        return self.made.roll(1, dims=0)


if __name__ == "__main__":
    prove_runs(_rows, __doc__)
