"""Claims as data: what a file of them may say, and how it is read.

.. code-block:: yaml

    margins: {BLEU: 1.0}                # what makes no difference, for all claims
    claims:
      my-claim:
        statement: One sentence.
        source: Where it was said.
        tasks: [translation]
        attention: self                 # or cross
        recipe: {encoder_layers: 6}     # only of runs with these entries; optional
        tests:
          - greater: {0011: 2, none: -1, 1111: -1}
            margin: 1                   # in units of the metric's margin

``analysis/paper/claims.yaml`` has the findings of Zhu et al. 2019; ``docs/statistics.md`` has all
keys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from analysis.stats.effects import TERMS
from analysis.stats.verdicts import Kind
from plugins.attention.core.word import Word
from plugins.contracts.tasks import find_task, task_names
from study.errors import StudyError, nearest
from study.yamlfile import YamlFile, validated

__all__ = ["PUBLISHED", "RANGE", "Cheaper", "Claim", "Comparison", "load", "margins_of"]

PUBLISHED = Path(__file__).parents[1] / "paper" / "claims.yaml"
"""The findings of the paper."""

RANGE = re.compile(r"@(k|next|widest|narrowest)(?=\+|$)")
"""Stands for a range that the runs have: each one, the next wider one, or the ends of those."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(allow_inf_nan=False)]


def _word(text: str) -> str:
    if text not in TERMS:
        Word.parse(RANGE.sub("@1", text))
    return text


def _one(text: str) -> str:
    if _word(text) in TERMS:
        raise ValueError(f"{text} is a main effect; a comparison of cost is of two mechanisms")
    return text


def _zero_sum(weights: dict[str, float]) -> dict[str, float]:
    # A main effect is a difference by itself; the weights of the mechanisms must cancel.
    total = sum(weight for word, weight in weights.items() if word not in TERMS)
    if not math.isclose(total, 0, abs_tol=1e-9):
        raise ValueError(f"the weights of the mechanisms sum to {total:g}, not to 0")
    if not any(weights.values()):
        raise ValueError("a comparison has at least two mechanisms with a weight")
    return weights


Name = Annotated[str, AfterValidator(_word)]
Single = Annotated[str, AfterValidator(_one)]
Contrast = Annotated[dict[Name, Weight], AfterValidator(_zero_sum)]


class _Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cheaper(_Strict):
    """MACs of one mechanism are less than `factor` times those of another.

    Attributes
    ----------
    of: str
        ``mechanism`` counts what the mechanism adds, ``model`` the whole network.
    """

    mechanism: Single
    than: Single
    factor: Positive = 1.0
    of: Literal["mechanism", "model"] = "mechanism"


class Comparison(_Strict):
    """One test of a claim: exactly one of the five kinds.

    Attributes
    ----------
    greater, equivalent, not_worse: dict of str to float
        A contrast: weights by mechanism or by main effect, ``E1`` to ``E4``. Greater is better:
        where the metric is better the lower it is, `greater` claims a contrast below the margin.
    margin: float, optional
        In units of the metric's margin: 0 for `greater`, 1 for the others if left out.
    cheaper: Cheaper
        A comparison of MACs.
    pareto: str
        A mechanism that is better than every one whose network costs no more.
    """

    greater: Contrast | None = None
    equivalent: Contrast | None = None
    not_worse: Contrast | None = None
    cheaper: Cheaper | None = None
    pareto: Single | None = None
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Comparison:
        given = [name for name, value in self if name != "margin" and value is not None]
        if len(given) != 1:
            raise ValueError(
                "a test is one of greater, equivalent, not_worse, cheaper, pareto; "
                f"here: {', '.join(given) or 'none of them'}"
            )
        if self.margin is not None and self.cheaper is not None:
            raise ValueError("a comparison of cost has a factor, not a margin")
        if self.margin is not None and self.pareto is not None:
            raise ValueError("a test of the Pareto front has no margin")
        if self.margin == 0 and self.equivalent is not None:
            raise ValueError("equivalence needs a margin above 0")
        return self

    @property
    def contrast(self) -> tuple[Kind, dict[str, float]]:
        """Kind and weights of a test that is not of cost."""
        if self.greater is not None:
            return "greater", self.greater
        if self.equivalent is not None:
            return "equivalent", self.equivalent
        assert self.not_worse is not None
        return "not_worse", self.not_worse

    @property
    def depends_on_runs(self) -> bool:
        """Whether the runs that there are decide what is compared: a front, or a range ``@k``."""
        return self.pareto is not None or any(RANGE.search(word) for word in self.weights)

    @property
    def weights(self) -> dict[str, float]:
        """Weights by mechanism and main effect; of a comparison of cost 1 and -1.

        Of the Pareto front 1: which others it is compared with, the runs tell.
        """
        if self.pareto is not None:
            return {self.pareto: 1.0}
        if self.cheaper is not None:
            return {self.cheaper.mechanism: 1.0, self.cheaper.than: -1.0}
        return self.contrast[1]


class _Body(_Strict):
    statement: str
    source: str
    tasks: list[str] = Field(min_length=1)
    attention: Literal["self", "cross"]
    recipe: dict[str, str | bool | int | float | None] = Field(default_factory=dict)
    tests: list[Comparison] = Field(min_length=1)
    floor: Single | None = None
    expects_chance: list[Single] = Field(default_factory=list)


class Claim(_Body):
    """A finding, where it applies, and what would show it.

    Attributes
    ----------
    tasks: list of str
        Names of tasks.
    attention: str
        ``cross`` is encoder-decoder attention, ``self`` all other attention.
    recipe: dict
        Entries that a recipe must have for the claim to be about it.
    floor: str, optional
        The mechanism that brings nothing, if it is not the usual one: see `nothing`.
    expects_chance: list of str
        Mechanisms that it says cannot learn the task. Runs of these that end no better than the
        untrained network show what is claimed, and no failed training.
    margins: dict of str to float
        What makes no difference, by metric, in its units.
    usual: dict of str to float
        The same without what the user says.
    """

    id: str
    margins: dict[str, Positive] = Field(default_factory=dict)
    usual: dict[str, Positive] = Field(default_factory=dict)

    def applies(self, task: str, sites: str, recipe: Mapping[str, Any]) -> bool:
        """Whether the claim is about this task, these sites, joined by dots, and this recipe.

        The recipe may leave out what has its default.
        """
        places = set(sites.split("."))
        where = "self" if "cross" not in places else "cross" if places == {"cross"} else "both"
        if task not in self.tasks or where != self.attention:
            return False
        fields = find_task(task).Recipe.model_fields
        return all(
            recipe.get(name, fields[name].default) == value for name, value in self.recipe.items()
        )

    @property
    def about(self) -> str:
        """The runs that it is about, in words."""
        entries = "".join(f", {name}={value}" for name, value in self.recipe.items())
        return f"{self.attention}-attention in {' or '.join(self.tasks)}{entries}"

    @property
    def nothing(self) -> str:
        """The mechanism that brings nothing.

        Where a verdict rests on the absence of a difference, a mechanism of the comparison must
        beat it. It is ``none``; in encoder-decoder attention ``0000``, since a model without that
        attention does not see what it translates.
        """
        return self.floor or ("none" if self.attention == "self" else "0000")


class _File(_Strict):
    margins: dict[str, Positive] = Field(default_factory=dict)
    claims: dict[str, _Body] = Field(default_factory=dict)


def margins_of(paths: Sequence[Path] = (PUBLISHED,)) -> dict[str, float]:
    """Return the margins that files name, by metric, those of later ones above others."""
    return {name: value for path in paths for name, value in _read(path)[1].margins.items()}


def _read(path: Path) -> tuple[YamlFile, _File]:
    file = YamlFile(path, "a file of claims")
    try:
        return file, validated(_File, file.content, file)
    except ValidationError as error:
        raise file.explain(error, _keys) from None


def load(paths: Sequence[Path] = (), margins: Mapping[str, float] | None = None) -> list[Claim]:
    """Read the paper's claims and those of the user.

    Parameters
    ----------
    paths: sequence of Path
        The user's files. Their claims are added, their margins hold for all claims.
    margins: mapping of str to float, optional
        Margins that hold above those of every file.

    Raises
    ------
    StudyError
        With file, line, what is wrong and the nearest valid name.
    """
    bodies: dict[str, _Body] = {}
    agreed: dict[str, float] = {}
    usual: dict[str, float] = {}
    for path in (PUBLISHED, *paths):
        file, content = _read(path)
        for name, body in content.claims.items():
            if name in bodies:
                where = file.where(["claims", name])
                raise StudyError(f"{where}: there is a claim {name!r} already; choose another id")
            for task in body.tasks:
                if task not in task_names():
                    where = file.where(["claims", name, "tasks"])
                    hint = nearest(task, task_names())
                    raise StudyError(f"{where}: unknown task {task!r}{hint}")
                fields = find_task(task).Recipe.model_fields
                for entry in body.recipe.keys() - fields.keys():
                    where = file.where(["claims", name, "recipe", entry])
                    hint = nearest(entry, fields)
                    raise StudyError(f"{where}: a recipe of {task} has no {entry!r}{hint}")
        bodies |= content.claims
        agreed |= content.margins
        usual = usual or dict(content.margins)
    agreed |= margins or {}
    return [
        Claim(id=name, margins=agreed, usual=usual, **dict(body)) for name, body in bodies.items()
    ]


def _keys(location: Sequence[str | int]) -> list[str]:
    """Return the keys of the mapping at `location`: claims, <id>, tests, <number>, cheaper."""
    models: tuple[type[BaseModel], ...] = (_File, _File, _Body, _Body, Comparison, Cheaper)
    return list(models[len(location)].model_fields)
