"""The two sides of a case, built from the same weights.

Each side gets its input in the layout of its library: fairseq's modules take (T, N, C), ours
(N, T, C). What is timed is a whole module, projections and residual included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from study.benchmarks.cases import Case
from study.benchmarks.ours import ours
from study.benchmarks.references import reference

__all__ = ["PASSES", "SIDES", "Side", "build"]

PASSES = ("forward", "forward+backward")
SIDES = ("ours", "reference")
WARM_UP_SIZE = 6  # rows, columns or tokens: calls every operator and takes a few milliseconds


@dataclass(frozen=True)
class Side:
    """A module and its input, ready to be called.

    Attributes
    ----------
    module: nn.Module
        In training mode; nothing in it is random.
    x: Tensor
        The input, a leaf that wants its gradient.
    seed: Tensor
        The gradient of the output, whose shape is that of the input.
    """

    module: nn.Module
    x: Tensor
    seed: Tensor

    def call(self, name: str) -> Callable[[], None]:
        """Return the function that runs one of `PASSES` once."""
        return self.forward if name == "forward" else self.step

    def forward(self) -> None:
        """Run without a graph, as in inference."""
        with torch.no_grad():
            self.module(self.x)

    def step(self) -> None:
        """Run with a graph, and compute the gradients of the input and of all parameters."""
        self.forget()
        self.module(self.x).backward(self.seed)

    def forget(self) -> None:
        """Free the gradients of the last step."""
        self.x.grad = None
        self.module.zero_grad(set_to_none=True)

    def warm_up(self) -> None:
        """Run both passes on a small input: threads start, libraries choose their kernels."""
        channels = 1 if self.x.dim() == 4 else 2
        size = [min(length, WARM_UP_SIZE) for length in self.x.shape]
        size[channels] = self.x.shape[channels]
        x = torch.randn(size, dtype=self.x.dtype, requires_grad=True)
        small = Side(self.module, x, torch.randn(size, dtype=self.x.dtype))
        small.forward()
        small.step()
        self.forget()


def build(case: Case, side: str, dtype: torch.dtype = torch.float32) -> Side:
    """Build one of `SIDES` of a case; the same weights and input each time."""
    torch.manual_seed(0)
    mine = ours(case)
    # These begin at 0, which would hide the attention and keep all taps on the grid.
    for name, parameter in mine.named_parameters():
        if name == "gamma":
            nn.init.constant_(parameter, 0.5)
        elif name == "conv_offset.weight":
            nn.init.normal_(parameter, std=0.02)  # moves a tap by about a pixel
    x, seed = torch.randn(case.shape, dtype=dtype), torch.randn(case.shape, dtype=dtype)
    module = mine
    if side == "reference":
        module = reference(case)
        # Weights that only ours has are the offsets, beside torch's plain convolution; weights
        # that only the reference has are biases, which start at 0.
        module.load_state_dict(mine.state_dict(), strict=False)
        if case.reference == "fairseq":
            x, seed = (value.transpose(0, 1).contiguous() for value in (x, seed))
    return Side(module.to(dtype), x.requires_grad_(), seed)
