"""What a model and its mechanisms cost: multiply-accumulates (MACs) and parameters.

One multiply-accumulate counts 1, so that the figures compare with papers; torch's counter gives 2
for it. Counted are convolutions and matrix products, with formulas for the operators that torch
2.13 leaves at zero on a CPU: fused attention, and the product inside mmcv's deformable convolution.
All else - softmax, interpolation, normalisation, elementwise arithmetic - is listed by operator
with the number of elements it produced, never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import (
    FlopCounterMode,
    flop_registry,
    register_flop_formula,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

__all__ = ["Cost", "count", "mechanisms_of"]


@dataclass(frozen=True)
class Cost:
    """Cost of one forward pass.

    Attributes
    ----------
    model, mechanism: dict
        ``{"macs": int, "parameters": int}`` of the whole model, and of the modules that the
        mechanism adds to the model without it.
    input_shape: list of int
        The shape of the one input that was counted.
    uncounted: dict of str to int
        Operators without a formula, and the number of elements they produced.
    """

    model: dict[str, int]
    mechanism: dict[str, int]
    input_shape: list[int]
    uncounted: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the form that stands in a run's ``result.json``."""
        return asdict(self)


def count(
    model: nn.Module, forward: Callable[[], Any], input_shape: list[int], inputs: int = 1
) -> Cost:
    """Count one forward pass.

    Parameters
    ----------
    model: nn.Module
        Its parameters are counted; each once, also where modules share it.
    forward: callable
        Runs the forward pass of `inputs` inputs through `model`.
    input_shape: list of int
        Recorded with the figures, which mean nothing without it.
    inputs: int
        Divides the MACs and the element counts.
    """
    _register_formulas()
    training = model.training
    model.eval()
    counter, uncounted = FlopCounterMode(display=False), _Uncounted()
    added = mechanisms_of(model).values()
    spent: Counter[nn.Module] = Counter()
    # Not the counter's own figures by module: it names a module by the way it was first called.
    hooks = []
    for module in added:
        hooks.append(
            module.register_forward_pre_hook(
                lambda module, _: spent.subtract({module: counter.get_total_flops()})
            )
        )
        hooks.append(
            module.register_forward_hook(
                lambda module, *_: spent.update({module: counter.get_total_flops()})
            )
        )
    try:
        with torch.no_grad(), uncounted, counter:
            forward()
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    parameters = {id(weight): weight.numel() for module in added for weight in module.parameters()}
    return Cost(
        model={
            "macs": counter.get_total_flops() // 2 // inputs,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
        mechanism={"macs": spent.total() // 2 // inputs, "parameters": sum(parameters.values())},
        input_shape=list(input_shape),
        uncounted={name: total // inputs for name, total in sorted(uncounted.elements.items())},
    )


def mechanisms_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return the outermost modules of `model` that a mechanism brought in, by name.

    They carry the attribute ``is_mechanism``.
    """
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(outer == "" or name.startswith(f"{outer}.") for outer in found)
        if getattr(module, "is_mechanism", False) and not inside:
            found[name] = module
    return found


class _Uncounted(TorchDispatchMode):
    """Adds up the elements made by operators that have no formula and are no mere views."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        is_view = any(returned.alias_info is not None for returned in func._schema.returns)
        if packet not in flop_registry and not is_view and packet not in _FREE:
            outputs = out if isinstance(out, tuple | list) else (out,)
            elements = sum(o.numel() for o in outputs if isinstance(o, Tensor))
            if elements:
                self.elements[str(packet)] += elements
        return out


_aten = torch.ops.aten
# They allocate, copy or convert and calculate nothing.
_FREE = {
    _aten.detach, _aten.empty, _aten.empty_strided, _aten.empty_like, _aten.new_empty,
    _aten.new_empty_strided, _aten.new_zeros, _aten.new_ones, _aten.zeros, _aten.zeros_like,
    _aten.ones, _aten.ones_like, _aten.full, _aten.full_like, _aten.arange, _aten.scalar_tensor,
    _aten.clone, _aten._to_copy, _aten.cat, _aten.stack, _aten._unsafe_view, _aten.im2col,
    _aten._local_scalar_dense, _aten.lift_fresh, _aten.constant_pad_nd,
}  # fmt: skip


def _register_formulas() -> None:
    """Teach torch's counter the operators that it knows on other devices only; once a process."""
    cpu_attention = _aten._scaled_dot_product_flash_attention_for_cpu
    if cpu_attention in flop_registry:
        return

    @register_flop_formula(cpu_attention)
    def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    @register_flop_formula(_aten._scaled_dot_product_flash_attention_for_cpu_backward)
    def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_backward_flop_count(grad, query, key, value)

    # mmcv's deformable convolution multiplies its sampled columns with the in-place form.
    @register_flop_formula(_aten.addmm_)
    def _addmm(bias: Any, left: Any, right: Any, *_: Any, **__: Any) -> int:
        return 2 * left[0] * left[1] * right[1]
