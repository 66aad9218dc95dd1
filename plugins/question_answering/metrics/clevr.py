"""The five types of CLEVR's questions (Johnson et al., 2017, https://arxiv.org/abs/1612.06890)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["TYPES", "question_type"]

TYPES = {
    "exist": ("exist",),
    "count": ("count",),
    "compare integer": ("equal_integer", "less_than", "greater_than"),
    "compare attribute": ("equal_color", "equal_shape", "equal_size", "equal_material"),
    "query attribute": ("query_color", "query_shape", "query_size", "query_material"),
}
"""The functions with which the program of a question of each type ends."""

TYPE_OF = {function: kind for kind, functions in TYPES.items() for function in functions}


def question_type(program: Sequence[Mapping[str, Any]]) -> str:
    """Return the type of a question: that of the last function of its program.

    The published files call it ``function``, files that the generator wrote may say ``type``.

    Raises
    ------
    ValueError
        If the program is empty or ends with something else.
    """
    last = program[-1] if program else {}
    name = last.get("function", last.get("type"))
    if name not in TYPE_OF:
        raise ValueError(
            f"the program ends with {name!r}, not with one of {', '.join(sorted(TYPE_OF))}"
        )
    return TYPE_OF[name]
