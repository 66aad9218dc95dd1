"""A grid file: which mechanisms, at which sites, with which seeds, under which recipe."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from plugins.attention.core.word import Word
from plugins.contracts.task import Smokes, Task
from plugins.contracts.tasks import find_task, task_names
from study import data
from study.errors import StudyError, nearest
from study.runs.run import Run
from study.yamlfile import YamlFile, validated

__all__ = ["Grid", "find", "load"]


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
                if not any(_matches(pattern, cell, task) for pattern in self.exclude):
                    cells.append((cell["mechanism"], cell["sites"]))
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


def _matches(pattern: Pattern, cell: dict[str, Any], task: Task) -> bool:
    if pattern.mechanism is not None and pattern.mechanism != cell["mechanism"]:
        return False
    if pattern.sites is None:
        return True
    return task.order(pattern.sites) == cell["sites"]


def find(paths: Iterable[Path]) -> list[Path]:
    """Return the grid files that `paths` name; a folder stands for all grid files below it."""
    files = []
    for path in paths:
        below = [path]
        if path.is_dir():
            inside = sorted(f for f in path.rglob("*") if f.suffix in (".yaml", ".yml"))
            hidden = [any(p.startswith(".") for p in f.relative_to(path).parts) for f in inside]
            below = [file for file, skip in zip(inside, hidden, strict=True) if not skip]
        if not below:
            raise StudyError(f"no grid file (*.yaml) below {path}")
        files += below
    return list(dict.fromkeys(files))


def load(path: Path) -> Grid:
    """Read a grid file.

    Raises
    ------
    StudyError
        With file, line, what is wrong and the nearest valid name.
    """
    file = YamlFile(path, "a grid")
    if "name" in file.content:
        raise StudyError(f"{file.where(['name'])}: unknown key 'name': a grid is named by its file")
    try:
        grid = validated(Grid, {**file.content, "name": _name(path)}, file)
    except ValidationError as error:
        raise file.explain(error, partial(_keys, Grid)) from None
    if grid.task not in task_names():
        hint = nearest(grid.task, task_names())
        raise StudyError(f"{file.where(['task'])}: unknown task {grid.task!r}{hint}")
    task = find_task(grid.task)
    try:
        recipe = validated(task.Recipe, grid.recipe, file, ["recipe"])
    except ValidationError as error:
        raise file.explain(error, partial(_keys, task.Recipe), ["recipe"]) from None
    _check_data(file, grid.task, recipe.data)
    _check_cells(file, grid, task, recipe)
    return grid


def _check_data(file: YamlFile, task: str, name: str) -> None:
    where, known = file.where(["recipe", "data"]), data.names()
    if name not in known:
        own = f"files of your own become one by: study data add KIND {name} --from DIR"
        raise StudyError(f"{where}: unknown data set {name!r}{nearest(name, known)}; {own}")
    if (other := data.task_of(name)) != task:
        fitting = ", ".join(each for each in known if data.task_of(each) == task)
        raise StudyError(f"{where}: {name!r} is for {other}; for {task}: {fitting}")


def _check_cells(file: YamlFile, grid: Grid, task: Task, recipe: Any) -> None:
    named: list[tuple[list[str | int], tuple[str, ...]]] = [
        ([section, "sites", index], sites)
        for section in ("product", "zip")
        for index, sites in enumerate(getattr(grid, section).sites or [])
    ]
    named += [(["exclude", i, "sites"], p.sites or ()) for i, p in enumerate(grid.exclude)]
    for location, chosen in named:
        for site in chosen:
            try:
                task.site(site, recipe)
            except ValueError:
                hint = nearest(site, task.sites)
                raise StudyError(
                    f"{file.where(location)}: {grid.task} has no site {site!r}{hint}"
                ) from None
    everything = grid.model_copy(update={"exclude": []}).cells()
    for index, pattern in enumerate(grid.exclude):
        candidates = ({"mechanism": word, "sites": where} for word, where in everything)
        if not any(_matches(pattern, cell, task) for cell in candidates):
            raise StudyError(f"{file.where(['exclude', index])}: excludes nothing in this grid")
    cells = grid.cells()
    if not cells:
        raise StudyError(f"{file.where(['exclude'])}: no run is left after exclude")
    mechanisms = list(dict.fromkeys(mechanism for mechanism, _ in cells))
    for mechanism, sites in cells:
        try:
            task.check(Word.parse(mechanism), sites, recipe)
        except ValueError as error:
            for section in ("product", "zip"):
                words = getattr(grid, section).mechanism or []
                if mechanism in words:
                    where = file.where([section, "mechanism", words.index(mechanism)])
            raise StudyError(f"{where}: {error}") from None
    if grid.baseline is not None and grid.baseline not in mechanisms:
        where = file.where(["baseline"])
        hint = nearest(grid.baseline, mechanisms)
        raise StudyError(f"{where}: the baseline {grid.baseline!r} is not in the grid{hint}")


def _keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys that a file may have in the mapping at `location`, of a model's content."""
    sections: dict[Any, type[BaseModel]] = {"exclude": Pattern, "product": Axes, "zip": Axes}
    owner = next((sections[step] for step in location if step in sections), model)
    return [name for name in owner.model_fields if name != "name"]


def _name(path: Path) -> str:
    """Return ``demo/detection`` for ``.../grids/demo/detection.yaml``, else the file's stem."""
    parts = path.resolve().with_suffix("").parts
    if "grids" in parts:
        after = len(parts) - parts[::-1].index("grids")
        return "/".join(parts[after:])
    return parts[-1]
