"""Which operators are dispatched: on a GPU each is a kernel, a few, or a call of a library."""

from torch.utils._python_dispatch import TorchDispatchMode


class Dispatched(TorchDispatchMode):
    """Collects the operators that are dispatched while it is open, those that make views left out.

    `free` are left out, too.
    """

    def __init__(self, free=()):
        super().__init__()
        self.free, self.found = free, []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        aliases = [output.alias_info for output in operator._schema.returns]
        is_view = any(alias is not None and not alias.is_write for alias in aliases)
        if not is_view and operator._overloadpacket not in self.free:
            self.found.append(operator._overloadpacket)
        return operator(*args, **(kwargs or {}))
