"""Grid files: found, read, and every mistake in one told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from plugins.attention.core.word import Word
from plugins.contracts.task import Task
from plugins.contracts.tasks import find_task, task_names
from study import data
from study.errors import StudyError, nearest
from study.grid.grid import Axes, Grid, Pattern
from study.yamlfile import YamlFile, validated

__all__ = ["find", "load"]

SECTIONS = ("product", "zip")


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
        With a line a mistake: file, line, what is wrong and the nearest valid name.
    """
    file = YamlFile(path, "a grid")
    if "name" in file.content:
        raise StudyError(f"{file.where(['name'])}: unknown key 'name': a grid is named by its file")
    reading = _Reading(file)
    grid = reading.tried(Grid, {**file.content, "name": _name(path)})
    if (task := reading.task()) is not None:
        recipe = reading.recipe(task)
        if recipe is not None:
            content = file.content if grid is None else grid.model_dump(mode="json")
            reading.problems += reading.sites(content, task, recipe)
        # The rest is about combinations, and would only repeat a mistake in one of their parts.
        if grid is not None and recipe is not None and not reading.structural:
            reading.problems += _of_cells(file, grid, task, recipe)
    if reading.problems or grid is None:
        raise StudyError("\n".join(dict.fromkeys(reading.problems)))
    return grid


class _Reading:
    """The parts of a grid file, each looked at even where others are wrong.

    Attributes
    ----------
    problems: list of str
        A line a mistake.
    structural: bool
        Whether one of them keeps the grid from being put together.
    """

    def __init__(self, file: YamlFile) -> None:
        self.file, self.problems, self.structural = file, list[str](), False

    def tried(
        self, model: type[BaseModel], content: dict[str, Any], prefix: Sequence[str] = ()
    ) -> Any:
        """Return the content as an instance of a model; None, and the problems, if it is none."""
        try:
            return validated(model, content, self.file, prefix)
        except ValidationError as error:
            self._explain(error, partial(_keys, model), prefix)
            return None

    def task(self) -> Task | None:
        """Return the task that the file names, None if there is no such task."""
        name = self.file.content.get("task")
        if not isinstance(name, str):
            return None
        if name not in task_names():
            self._tell(["task"], f"unknown task {name!r}{nearest(name, task_names())}")
            return None
        return find_task(name)

    def recipe(self, task: Task) -> Any:
        """Return the recipe, without what is wrong in it; None if nothing can be made of it."""
        given = self.file.content.get("recipe", {})
        if not isinstance(given, dict):
            return None  # the grid's own check says it
        try:
            recipe = validated(task.Recipe, given, self.file, ["recipe"])
        except ValidationError as error:
            self._explain(error, partial(_keys, task.Recipe), ["recipe"])
            wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
            recipe = _without(task, given, wrong)
        if recipe is not None:
            self._data(task, recipe.data)
        return recipe

    def _data(self, task: Task, name: str) -> None:
        where, known = ["recipe", "data"], data.names()
        if name not in known:
            own = f"files of your own become one by: study data add KIND {name} --from DIR"
            self._tell(where, f"unknown data set {name!r}{nearest(name, known)}; {own}")
        elif (other := data.task_of(name)) != task.name:
            fitting = ", ".join(each for each in known if data.task_of(each) == task.name)
            self._tell(where, f"{name!r} is for {other}; for {task.name}: {fitting}")

    def sites(self, content: dict[str, Any], task: Task, recipe: Any) -> Iterator[str]:
        """Yield a line for each site in a grid's content that the task's network does not have."""
        for location, site in _sites_in(content):
            try:
                task.site(site, recipe)
            except ValueError:
                self.structural = True
                hint = nearest(site, task.sites)
                yield f"{self.file.where(location)}: {task.name} has no site {site!r}{hint}"

    def _tell(self, location: Sequence[str | int], text: str) -> None:
        self.problems.append(f"{self.file.where(location)}: {text}")

    def _explain(
        self,
        error: ValidationError,
        keys: Callable[[Sequence[str | int]], list[str]],
        prefix: Sequence[str] = (),
    ) -> None:
        self.structural = True
        self.problems.append(str(self.file.explain(error, keys, prefix)))


def _without(task: Task, given: dict[str, Any], wrong: set[Any]) -> Any:
    """Return the recipe that the other fields give; None if these contradict each other."""
    rest = {key: value for key, value in given.items() if key not in wrong}
    try:
        return validated(task.Recipe, rest) if len(rest) < len(given) else None
    except ValidationError:
        return None


def _sites_in(content: dict[str, Any]) -> Iterator[tuple[list[str | int], str]]:
    """Yield each site in the content of a grid, and where; what is no text is left out."""
    lists: list[tuple[list[str | int], Any]] = []
    for section in SECTIONS:
        axes = content.get(section)
        chosen = axes.get("sites") if isinstance(axes, dict) else None
        if isinstance(chosen, list):
            lists += [([section, "sites", index], sites) for index, sites in enumerate(chosen)]
    excluded = content.get("exclude")
    for index, pattern in enumerate(excluded if isinstance(excluded, list) else ()):
        if isinstance(pattern, dict):
            lists.append((["exclude", index, "sites"], pattern.get("sites")))
    for location, sites in lists:
        for site in sites if isinstance(sites, list) else [sites]:
            if isinstance(site, str):
                yield location, site


def _of_cells(file: YamlFile, grid: Grid, task: Task, recipe: Any) -> Iterator[str]:
    """Yield what is wrong with combinations of mechanisms and sites."""
    everything = grid.model_copy(update={"exclude": []}).cells()
    for index, pattern in enumerate(grid.exclude):
        if not any(pattern.matches(*cell, task) for cell in everything):
            yield f"{file.where(['exclude', index])}: excludes nothing in this grid"
    cells = grid.cells()
    if not cells:
        yield f"{file.where(['exclude'])}: no run is left after exclude"
        return
    mechanisms = list(dict.fromkeys(mechanism for mechanism, _ in cells))
    for mechanism, sites in cells:
        try:
            task.check(Word.parse(mechanism), sites, recipe)
        except ValueError as error:
            yield f"{file.where(_place(grid, mechanism))}: {error}"
    if grid.baseline is not None and grid.baseline not in mechanisms:
        hint = nearest(grid.baseline, mechanisms)
        where = file.where(["baseline"])
        yield f"{where}: the baseline {grid.baseline!r} is not in the grid{hint}"


def _place(grid: Grid, mechanism: str) -> list[str | int]:
    for section in SECTIONS:
        words = getattr(grid, section).mechanism or []
        if mechanism in words:
            return [section, "mechanism", words.index(mechanism)]
    return []


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
