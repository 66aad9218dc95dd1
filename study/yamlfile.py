"""Read YAML so that a term set stays a word and an error knows its line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from study.errors import StudyError, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["YamlFile", "validated"]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads ``0110`` as the octal number 72 and ``1111`` as a number; here both are words.

    ``1e-3`` is a float, as in YAML 1.2; YAML 1.1 asks for ``1.0e-3``.
    """


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith((":int", ":float"))]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+|[-+]?\.inf|\.nan"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"(?![01]{4}$)[-+]?(0|[1-9]\d*)$"), list("-+0123456789")
)


def _told(key: str, problem: Mapping[str, Any]) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def validated(model: type[BaseModel], content: Mapping[str, Any]) -> Any:
    """Return the content of a file as an instance of `model`; ``true`` is no number.

    pydantic takes it for 1, unless it is strict; but then it also refuses the word ``1000`` for a
    number, which the loader makes of every four digits 0 and 1.

    Raises
    ------
    pydantic.ValidationError
    """
    from pydantic import ValidationError
    from pydantic_core import InitErrorDetails

    try:
        # As JSON, where strict does not mean that a list is no tuple.
        model.model_validate_json(json.dumps(content, default=str, skipkeys=True), strict=True)
    except ValidationError as error:
        wrong = [
            InitErrorDetails(type=problem["type"], loc=problem["loc"], input=problem["input"])
            for problem in error.errors()
            if problem["type"] in ("int_type", "float_type") and isinstance(problem["input"], bool)
        ]
        if wrong:
            raise ValidationError.from_exception_data(model.__name__, wrong) from None
    return model.model_validate(content)


class YamlFile:
    """The content of a YAML file, and where in it each value stands.

    Parameters
    ----------
    path: Path
        The file.
    kind: str
        What it is to be, such as ``a grid``, for the message.

    Raises
    ------
    StudyError
        If it cannot be read, is no mapping, or names a key twice.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            self._root = yaml.compose(text, Loader=_Loader)
            loader = _Loader(text)
            try:
                self.content: Any = loader.get_single_data()
            finally:
                loader.dispose()
        except FileNotFoundError:
            raise StudyError(f"no such file: {path}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(f"{path}: cannot be read: {error}") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error)
            raise StudyError(f"{path}{line}: not valid YAML: {problem}") from None
        except (RecursionError, ValueError) as error:  # nested without end; a number of megabytes
            raise StudyError(f"{path}: not {kind}: {error}") from None
        if not isinstance(self.content, dict):
            raise StudyError(f"{path}: a mapping of keys to values is expected")
        try:
            self._refuse_duplicate_keys(self._root)
        except RecursionError:
            raise StudyError(f"{path}: an alias contains itself") from None

    def where(self, location: Sequence[str | int], about: str = "") -> str:
        """Return ``path:line`` of the value at `location`, or of the nearest one around it.

        If that is a mapping, of its key that the words `about` it name first.
        """
        node, line = self._root, 1
        for step in location:
            child = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == step:
                        child, line = value, key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and step in range(len(node.value)):
                assert isinstance(step, int)
                child = node.value[step]
                line = child.start_mark.line + 1
            if child is None:
                break
            node = child
        if isinstance(node, yaml.MappingNode):
            lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
            line = next((lines[word] for word in re.findall(r"\w+", about) if word in lines), line)
        return f"{self.path}:{line}"

    def text(self, location: Sequence[str | int]) -> str | None:
        """Return the scalar at `location` as it is written; None if none is there."""
        node: yaml.Node | None = self._root
        for step in location:
            if isinstance(node, yaml.MappingNode):
                node = next((value for key, value in node.value if key.value == step), None)
            elif isinstance(node, yaml.SequenceNode) and step in range(len(node.value)):
                node = node.value[step]
            else:
                return None
        return node.value if isinstance(node, yaml.ScalarNode) else None

    def explain(
        self,
        error: ValidationError,
        keys: Callable[[Sequence[str | int]], Iterable[str]],
        prefix: Sequence[str] = (),
        told: Callable[[str, Mapping[str, Any]], str] = _told,
    ) -> StudyError:
        """Return an error with a line a problem: file, line, what is wrong, what would be right.

        Parameters
        ----------
        error: pydantic.ValidationError
            Of the mapping at `prefix`.
        keys: callable
            ``keys(location)`` returns the valid keys of the mapping at a location below `prefix`.
        prefix: sequence of str
            Where in the file the location of a problem begins.
        told: callable
            ``told(key, problem)`` says what is wrong, unless the key is unknown.
        """
        lines = []
        problems = error.errors()
        for problem in problems:
            inside = (other["loc"][:-1] for other in problems)
            if problem["type"] == "too_short" and problem["loc"] in inside:
                continue  # pydantic does not count a tuple's values that are wrong
            # What is wrong with a key itself stands where its value does.
            below = [step for step in problem["loc"] if step != "[key]"]
            location = [*prefix, *below]
            key = ".".join(map(str, location))
            if problem["type"] == "extra_forbidden":
                text = f"unknown key {key!r}{nearest(str(below[-1]), keys(below[:-1]))}"
            else:
                text = told(key, problem)
            # Of keys that contradict each other pydantic gives no location but the mapping's.
            about = text if problem["type"] == "value_error" else ""
            lines.append(f"{self.where(location, about)}: {text}")
        return StudyError("\n".join(lines))

    def _refuse_duplicate_keys(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.SequenceNode):
            for child in node.value:
                self._refuse_duplicate_keys(child)
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise StudyError(f"{self.path}:{line}: key {key.value!r} is given twice")
                seen.add(key.value)
                self._refuse_duplicate_keys(value)
