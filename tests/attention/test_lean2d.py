"""What the forms for a GPU cost beside arithmetic, forced on a CPU: kernels, waits and memory."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from plugins.attention import GeneralizedAttention2d
from plugins.attention.core.word import TERM_SETS
from plugins.attention.kernels.maps.forms import FORMS

GOALS = {"1111": 45, "0011": 45, "0010": 25}
"""Kernels of a step, forward and backward."""

BOUNDS = {
    "0000": 20, "0001": 45, "0010": 25, "0011": 45, "0100": 45, "0101": 45, "0110": 55, "0111": 55,
    "1000": 35, "1001": 45, "1010": 35, "1011": 45, "1100": 45, "1101": 45, "1110": 45, "1111": 45,
}  # fmt: skip

WAITS = {"_local_scalar_dense", "item", "lift_fresh", "nonzero", "is_nonzero", "equal"}
"""Operators that wait for the device, or bring numbers from the host."""

CONSTANTS = {"arange", "scalar_tensor", "tensor", "eye", "linspace", "tril_indices", "full"}


class Operators(TorchDispatchMode):
    """The names of the operators that compute or fill tensors: those that are kernels on a GPU."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._overloadpacket.__name__
        views = [r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns]
        made = isinstance(out, torch.Tensor | tuple | list) and not any(views)
        if (made and "empty" not in name and name != "_unsafe_view") or name in WAITS:
            self.names.append(name)
        return out


def step(block, form, x, half):
    """A step forward and backward; its operators."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        out = block.attend(x, form)
    out.backward(torch.ones_like(out))


def operators(terms, kv_stride, half, **arguments):
    """Of the second step, when constants are known."""
    block = GeneralizedAttention2d(32, 4, terms, kv_stride, **arguments)
    form = FORMS[terms].local_gpu if arguments else FORMS[terms].gpu
    gradient = torch.ones(2, 32, 10, 12)
    for _ in range(2):
        block.zero_grad()
        x = torch.randn(2, 32, 10, 12, requires_grad=True)
        with Operators() as seen:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                out = block.attend(x, form)
            out.backward(gradient)
    return seen.names


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kv_stride", [1, 2])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_step_takes_few_kernels(terms, kv_stride, half, record_property):
    names = operators(terms, kv_stride, half)
    record_property("kernels", len(names))
    assert len(names) <= BOUNDS[terms], names


@pytest.mark.parametrize("spatial_range", [None, 3])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_step_neither_waits_nor_copies_from_the_host(terms, half, spatial_range):
    arguments = {} if spatial_range is None else {"spatial_range": spatial_range}
    assert not (WAITS | CONSTANTS) & {*operators(terms, 2, half, **arguments)}
