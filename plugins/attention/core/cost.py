"""What a model and its mechanisms cost: multiply-accumulates (MACs) and parameters.

One multiply-accumulate counts 1, as in papers; torch's counter counts it as 2. There are two
figures. *Executed* MACs are those that the modules really perform, counted while they run:
convolutions and matrix products, with formulas for the operators that torch 2.13 leaves at zero on
a CPU: fused attention, and the product inside mmcv's deformable convolution. *Canonical* MACs are
those of the mechanism's definition, from its closed form: they are the same for every way of
evaluating it, however clever.

A model on the meta device, which keeps shapes and no numbers, is counted like one on a CPU in a
fraction of its time and memory.

All else - softmax, interpolation, normalisation, elementwise arithmetic - is listed by operator
with the number of elements it produced, never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
        ``{"macs": int, "executed_macs": int, "parameters": int}`` of the whole model, and of the
        modules that the mechanism adds to the model without it. ``macs`` are the canonical ones.
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
    """Count one forward pass, on a CPU or on the meta device.

    The layers around the mechanisms have no closed form: their canonical MACs are the executed
    ones.

    Parameters
    ----------
    model: nn.Module
        Its parameters are counted, each once even if modules share it.
    forward: callable
        Runs the forward pass of `inputs` inputs through `model`.
    input_shape: list of int
        Recorded with the figures, which mean nothing without it.
    inputs: int
        Divides the MACs and the element counts.
    """
    _register_formulas()
    added, defined = mechanisms_of(model), _defined(model)
    counter, uncounted = FlopCounterMode(display=False), _Uncounted()
    training = model.training
    model.eval()
    try:
        with (
            torch.no_grad(),
            _watched(counter, added.values(), defined.values(), inputs) as (executed, canonical),
            _Unasked(),
            uncounted,
            counter,
        ):
            forward()
    finally:
        model.train(training)
    whole = counter.get_total_flops() // 2
    own = sum(executed[module] for module in added.values())
    shifts = {name: canonical[module] - executed[module] for name, module in defined.items()}
    own_shift = sum(shift for name, shift in shifts.items() if _is_within(name, added))
    parameters = {
        id(weight): weight.numel() for module in added.values() for weight in module.parameters()
    }
    return Cost(
        model={
            "macs": (whole + sum(shifts.values())) // inputs,
            "executed_macs": whole // inputs,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
        mechanism={
            "macs": (own + own_shift) // inputs,
            "executed_macs": own // inputs,
            "parameters": sum(parameters.values()),
        },
        input_shape=list(input_shape),
        uncounted={name: total // inputs for name, total in sorted(uncounted.elements.items())},
    )


def mechanisms_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return the outermost modules of `model` that a mechanism brought in, by name.

    They carry the attribute ``is_mechanism``.
    """
    return _outermost(model, lambda module: bool(getattr(module, "is_mechanism", False)))


def _defined(model: nn.Module) -> dict[str, nn.Module]:
    """Return the outermost modules of `model` with a closed form, by name.

    Their attribute ``closed_form`` is a callable that takes the height and width of a map, or the
    lengths of queries and keys, and returns a :class:`ClosedForm`.
    """
    return _outermost(model, lambda module: hasattr(module, "closed_form"))


def _outermost(model: nn.Module, wanted: Callable[[nn.Module], bool]) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if not _is_within(name, found) and wanted(module):
            found[name] = module
    return found


def _is_within(name: str, outer: Iterable[str]) -> bool:
    """Whether the module of this name is one of `outer` or inside one."""
    return any(above in ("", name) or name.startswith(f"{above}.") for above in outer)


@contextmanager
def _watched(
    counter: FlopCounterMode,
    added: Iterable[nn.Module],
    defined: Iterable[nn.Module],
    inputs: int,
) -> Iterator[tuple[Counter[nn.Module], Counter[nn.Module]]]:
    """Add up executed and canonical MACs of modules while the context is open."""
    # The counter's own figures by module do not serve: it names a module by its first call.
    executed: Counter[nn.Module] = Counter()
    canonical: Counter[nn.Module] = Counter()

    def before(module: nn.Module, _: Any) -> None:
        executed[module] -= counter.get_total_flops() // 2

    def after(module: nn.Module, *_: Any) -> None:
        executed[module] += counter.get_total_flops() // 2

    def define(module: nn.Module, args: Any, kwargs: dict[str, Any], _: Any) -> None:
        canonical[module] += _canonical(module, (*args, *kwargs.values()), inputs)

    hooks = []
    for module in {*added, *defined}:
        hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    for module in defined:
        hooks.append(module.register_forward_hook(define, with_kwargs=True))
    try:
        yield executed, canonical
    finally:
        for hook in hooks:
            hook.remove()


def _canonical(module: nn.Module, arguments: tuple[Any, ...], inputs: int) -> int:
    """Return the canonical MACs of one call, from the shapes of its arguments."""
    form = module.closed_form
    assert callable(form)
    tensors = [x for x in arguments if isinstance(x, Tensor)]
    if tensors[0].dim() == 4:
        batch, _, height, width = tensors[0].shape
        return batch * form(height, width).macs
    sequences = [x for x in tensors if x.dim() == 3]
    # Modules differ in whether time or batch comes first; the number of positions is the same.
    lengths = [x.numel() // x.shape[-1] // inputs for x in sequences]
    return form(lengths[0], lengths[min(1, len(lengths) - 1)]).macs * inputs


class _Unasked(TorchDispatchMode):
    """Lets a model on the meta device continue where it asks for a number.

    The answer is that of a tensor without elements: `all` is true, `any` is not, a number is 0. So
    nothing is padding, and no energies are too far apart for their cheapest form.
    """

    def __init__(self) -> None:
        super().__init__()
        self.true: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _aten._local_scalar_dense.default and args[0].is_meta:
            if args[0].dtype == torch.bool:
                return any(args[0] is true for true in self.true)
            return 0
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket is _aten.all and out.is_meta:
            self.true.append(out)
        return out


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
