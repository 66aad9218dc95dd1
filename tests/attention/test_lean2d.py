"""What the forms for a GPU cost beside arithmetic, forced on a CPU: kernels, waits and memory."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from plugins.attention import GeneralizedAttention2d
from plugins.attention.core.word import TERM_SETS
from plugins.attention.kernels.maps.forms import FORMS
from plugins.attention.kernels.maps.lean import nested

from .dispatched import Dispatched

KERNELS = {
    "0000": 16, "0001": 41, "0010": 25, "0011": 44, "0100": 42, "0101": 43, "0110": 51, "0111": 52,
    "1000": 29, "1001": 42, "1010": 33, "1011": 43, "1100": 43, "1101": 44, "1110": 44, "1111": 45,
}  # fmt: skip
"""Of a step forward and backward in bfloat16 with keys at every second position; others take
fewer."""

WAITS = {"_local_scalar_dense", "item", "lift_fresh", "nonzero", "is_nonzero", "equal"}
"""Operators that wait for the device, or bring numbers from the host."""

CONSTANTS = {"arange", "scalar_tensor", "tensor", "eye", "linspace", "tril_indices", "full"}


FREE = {"_unsafe_view", "promote_types"}
"""They calculate and fill nothing; nor does what makes empty tensors."""


def operators(terms, kv_stride, half, form=None, **arguments):
    """Of the second step, when constants are known."""
    block = GeneralizedAttention2d(32, 4, terms, kv_stride, **arguments)
    if form is None:
        form = FORMS[terms].local_gpu if arguments else FORMS[terms].gpu
    gradient = torch.ones(2, 32, 10, 12)
    for _ in range(2):
        block.zero_grad()
        x = torch.randn(2, 32, 10, 12, requires_grad=True)
        with Dispatched() as seen:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                out = block.attend(x, form)
            out.backward(gradient)
    names = [packet.__name__ for packet in seen.found]
    return [name for name in names if "empty" not in name and name not in FREE]


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kv_stride", [1, 2])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_step_takes_few_kernels(terms, kv_stride, half, record_property):
    names = operators(terms, kv_stride, half)
    record_property("kernels", len(names))
    assert len(names) <= KERNELS[terms], names
    if half and kv_stride == 2:
        assert len(names) == KERNELS[terms], names


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_0011_of_many_pairs_takes_a_third_more_kernels(half):
    names = operators("0011", 2, half, nested)
    assert len(names) == 58
    assert not (WAITS | CONSTANTS) & {*names}


@pytest.mark.parametrize("spatial_range", [None, 3])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_step_neither_waits_nor_copies_from_the_host(terms, half, spatial_range):
    arguments = {} if spatial_range is None else {"spatial_range": spatial_range}
    assert not (WAITS | CONSTANTS) & {*operators(terms, 2, half, **arguments)}


def saved_bytes(block, x):
    """Memory that a forward pass keeps for the backward pass, beside the input and parameters."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (x, *block.parameters())}
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", dtype=torch.bfloat16):
        block.attend(x, FORMS[block.terms].gpu)
    return sum(storage.nbytes() for at, storage in kept.items() if at not in known)


def saved_by_hand(images, channels, heads, height, width):
    """Of 1111 in bfloat16 with all keys, on a CPU; 4-byte numbers for tables and encodings."""
    positions, offsets = images * height * width, height**2 + width**2
    half = 2 * positions * channels * (1 + 3 + 2)  # map, query, key and value, attended, result
    contents = 4 * positions * channels * 2  # queries plus v, for rows and for columns
    encodings = 4 * offsets * (channels // 2 + channels)  # as they are, and projected
    tables = 4 * positions * heads * (height + width)
    weights = 2 * channels**2 * 4
    return half + contents + encodings + tables + weights


def test_what_a_step_keeps_is_what_was_derived_by_hand():
    block = GeneralizedAttention2d(32, 4, "1111", kv_stride=1)
    x = torch.randn(2, 32, 10, 12, requires_grad=True)
    assert saved_bytes(block, x) == saved_by_hand(2, 32, 4, 10, 12)
    sums = 4 * 2 * 8 * 50 * 84  # the kernels keep a number a query
    assert saved_by_hand(2, 256, 8, 50, 84) + sums < 100 * 2**20


@pytest.mark.parametrize("kv_stride", [1, 2])
@pytest.mark.parametrize("column", ["cpu", "gpu"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_step_can_be_traced(terms, column, kv_stride):
    block = GeneralizedAttention2d(16, 2, terms, kv_stride)
    torch.nn.init.constant_(block.gamma, 0.7)
    form = getattr(FORMS[terms], column)

    def step(x):
        out = block.attend(x, form)
        return out, *torch.autograd.grad(out.square().sum(), [x, *block.parameters()])

    x = torch.randn(2, 16, 7, 9, requires_grad=True)
    traced = make_fx(step)(x)
    other = torch.randn(2, 16, 7, 9, requires_grad=True)
    with torch.no_grad():  # the backward pass is in the graph
        found = traced(other)
    torch.testing.assert_close(found, step(other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("terms", "column"),
    [
        ("1111", "cpu"),
        *((terms, "gpu") for terms in ("0001", "0010", "1010", "0011", "1111")),
    ],
)
def test_the_compiler_takes_a_block_whole_and_for_any_size(terms, column):
    """One set of terms for each way that the forms of a column go."""
    block = GeneralizedAttention2d(16, 2, terms)
    torch.nn.init.constant_(block.gamma, 0.7)
    form = getattr(FORMS[terms], column)

    def step(attend, x):
        x = x.detach().requires_grad_()
        out = attend(x)
        return out, *torch.autograd.grad(out.square().sum(), [x, *block.parameters()])

    def attend(x):
        return block.attend(x, form)

    torch._dynamo.reset()
    compiled = torch.compile(attend, fullgraph=True, dynamic=True, backend="aot_eager")
    for size in ((12, 20), (18, 14)):
        x = torch.randn(2, 16, *size)
        torch.testing.assert_close(step(compiled, x), step(attend, x), rtol=1e-4, atol=1e-5)
