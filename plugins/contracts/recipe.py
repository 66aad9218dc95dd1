"""What every recipe has: strict fields, and an identity that later fields do not change."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer
from pydantic_core import to_jsonable_python

__all__ = ["Recipe"]


class Recipe(BaseModel):
    """Everything but mechanism, sites and seed that defines a training.

    A task derives from it and adds fields with defaults. A run's identity is the hash of the
    recipe's dump. Fields with their defaults are not in the dump, except `data`. So a new field
    renames no existing run; its default must mean what was done before. A default never changes
    without the task's `version`.

    Attributes
    ----------
    data: str
        Name of the prepared data set.
    always: frozenset of str
        Fields that are in the dump even with their defaults, because their recipe is older than
        this rule. A new recipe adds none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    always: ClassVar[frozenset[str]] = frozenset({"data"})

    data: str

    @property
    def step(self) -> str:
        """What one step of the optimizer learns from, in words; empty if that is unknown."""
        return ""

    def share(self, processes: int) -> Any:
        """Raise ValueError for a number of processes that cannot train a run together."""

    def check_items(self, items: int) -> None:
        """Raise ValueError if a training set of so many items makes no step."""

    def complete(self) -> dict[str, Any]:
        """Return all fields as JSON has them, for people to read."""
        fields = type(self).model_fields
        defaults = {
            name: to_jsonable_python(field.get_default(call_default_factory=True))
            for name, field in fields.items()
            if not field.is_required()
        }
        return defaults | self.model_dump(mode="json")

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if name in self.always
            or getattr(self, name) != fields[name].get_default(call_default_factory=True)
        }
