"""A grid file: which mechanisms, at which sites, with which seeds, under which recipe."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from plugins.attention.core.word import Word
from plugins.contracts.task import Smokes, Task
from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.runs.run import Run

__all__ = ["Axes", "Grid", "Mechanism", "Pattern"]


def _mechanism(word: str) -> str:
    return str(Word.parse(word))


def _sites(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Mechanism = Annotated[str, AfterValidator(_mechanism)]
Sites = Annotated[tuple[str, ...], BeforeValidator(_sites), Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class _Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Axes(_Strict):
    """Values to combine; an axis that is left out has the grid's default."""

    mechanism: list[Mechanism] | None = Field(default=None, min_length=1)
    sites: list[Sites] | None = Field(default=None, min_length=1)

    def given(self) -> dict[str, list[Any]]:
        """Return the axes that have values."""
        return {name: values for name, values in self if values is not None}


class Pattern(_Strict):
    """Which cells to leave out: those that agree in every axis that is named."""

    mechanism: Mechanism | None = None
    sites: Sites | None = None

    def matches(self, mechanism: str, sites: tuple[str, ...], task: Task) -> bool:
        """Tell whether a cell is one of those."""
        if self.mechanism not in (None, mechanism):
            return False
        return self.sites is None or task.order(self.sites) == sites


class Grid(_Strict):
    """A grid, checked except for what only its task knows (the sites and the recipe).

    Attributes
    ----------
    task: str
        Name of a task plugin.
    recipe: dict
        Everything else that defines the training; what is left out has the task's default.
    product: Axes
        Every combination of these values.
    zip: Axes
        Lists of one length, combined element by element, and as a whole with `product`.
    exclude: list of Pattern
        Cells to leave out.
    seeds: list of int
        Every cell is trained once with each.
    baseline: str, optional
        The mechanism that tables compare with.
    """

    name: str
    task: str
    recipe: dict[str, Any] = Field(default_factory=dict)
    product: Axes = Axes()
    zip: Axes = Axes()
    exclude: list[Pattern] = Field(default_factory=list)
    seeds: list[Seed] = Field(default=[0], min_length=1)
    baseline: Mechanism | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Grid:
        both = sorted({*self.product.given()} & {*self.zip.given()})
        if both:
            raise ValueError(f"axis {both[0]!r} stands in product and in zip")
        if len({len(values) for values in self.zip.given().values()}) > 1:
            lengths = {name: len(values) for name, values in self.zip.given().items()}
            raise ValueError(f"the lists of zip differ in length: {lengths}")
        if "mechanism" not in self.product.given() | self.zip.given():
            raise ValueError("no mechanism: give product.mechanism or zip.mechanism a list")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds names one twice: {self.seeds}")
        return self

    def cells(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the (mechanism, sites) of the grid in order, each once."""
        task = find_task(self.task)
        zipped = self.zip.given()
        joint: list[dict[str, Any]] = [{}]
        if zipped:
            joint = [
                dict(zip(zipped, row, strict=True)) for row in zip(*zipped.values(), strict=True)
            ]
        product = self.product.given()
        cells = []
        for values in itertools.product(*product.values()):
            for row in joint:
                cell = {"sites": task.default_sites, **dict(zip(product, values, strict=True))}
                cell |= row
                # One order of sites, so that [conv5, conv4] and [conv4, conv5] are one run.
                cell["sites"] = task.order(cell["sites"])
                if cell["mechanism"] == "none" and not task.none_has_sites:
                    cell["sites"] = ()
                found = cell["mechanism"], cell["sites"]
                if not any(pattern.matches(*found, task) for pattern in self.exclude):
                    cells.append(found)
        return list(dict.fromkeys(cells))

    def smoke(self) -> Grid:
        """Return the same configurations at toy width on embedded data, with the first seed alone.

        Raises
        ------
        StudyError
            If the task does without such a form.
        """
        task = find_task(self.task)
        if not isinstance(task, Smokes):
            raise StudyError(f"{self.name}: the task {self.task!r} has no smoke form")
        recipe = task.smoke(task.Recipe.model_validate(self.recipe)).model_dump(mode="json")
        seeds = self.seeds[:1]
        return self.model_copy(
            update={"name": f"smoke/{self.name}", "recipe": recipe, "seeds": seeds}
        )

    def runs(self) -> list[Run]:
        """Return every run of the grid, in order."""
        task = find_task(self.task)
        recipe = task.Recipe.model_validate(self.recipe)
        dump = recipe.model_dump(mode="json")
        found = []
        for mechanism, sites in self.cells():
            word = Word.parse(mechanism)
            # Absent where there is nothing to say, so that it renames no run.
            unused = [name for name in task.mechanism_fields if name not in word.uses]
            versions = task.versions(word, recipe)
            said = {"unused": unused, "mechanisms": versions}
            of_mechanism = {key: value for key, value in said.items() if value}
            for seed in self.seeds:
                science = {
                    "task": self.task,
                    "mechanism": mechanism,
                    "sites": list(sites),
                    "seed": seed,
                    "version": task.version,
                    "recipe": dump,
                    **of_mechanism,
                }
                found.append(Run(self.name, science))
        return found
