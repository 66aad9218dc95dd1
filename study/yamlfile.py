"""Read YAML so that a term set stays a word and an error knows its line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from study.errors import StudyError, nearest
from study.yamlloader import Loader

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["YamlFile", "validated"]


def _told(key: str, problem: Mapping[str, Any]) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


TEXT_EXPECTED = ("string_type", "literal_error", "enum")
"""How pydantic says that it was given no text."""


def validated(
    model: type[BaseModel],
    content: Mapping[str, Any],
    file: YamlFile | None = None,
    prefix: Sequence[str | int] = (),
) -> Any:
    """Return the content of a file as an instance of `model`.

    Text is what is written there: the account ``680841e1`` is no float. ``true`` is no number:
    pydantic takes it for 1, unless it is strict; but then it also refuses the word ``1000`` for a
    number, which the loader makes of every four digits 0 and 1.

    Parameters
    ----------
    model: type
        A pydantic model.
    content: mapping
        What is to be an instance of it.
    file: YamlFile, optional
        Where the content is from.
    prefix: sequence of str or int
        Where in the file it stands.

    Raises
    ------
    pydantic.ValidationError
    """
    from pydantic import ValidationError
    from pydantic_core import InitErrorDetails

    try:
        # As JSON, where strict does not mean that a list is no tuple.
        model.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        wrong = [
            InitErrorDetails(type=problem["type"], loc=problem["loc"], input=problem["input"])
            for problem in error.errors()
            if problem["type"] in ("int_type", "float_type") and isinstance(problem["input"], bool)
        ]
        if wrong:
            raise ValidationError.from_exception_data(model.__name__, wrong) from None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        as_written: Any = content
        for problem in error.errors():
            if file and problem["type"] in TEXT_EXPECTED and not isinstance(problem["input"], str):
                as_written = file.with_text(as_written, problem["loc"], prefix)
        if as_written == content:
            raise
    return validated(model, as_written, file, prefix)


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
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise StudyError(f"no such file: {path}") from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise StudyError(f"{path}:{line}: not UTF-8: save the file in that encoding") from None
        except OSError as error:
            raise StudyError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            self._root, self.content = self._read(text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            told = f"the character {chr(error.character)!a} is not allowed"
            raise StudyError(f"{path}:{line}: not valid YAML: {told}") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1
            told = ", ".join(filter(None, (error.context, error.problem)))
            if "'\\t'" in told:
                told = "a tab; YAML is indented by spaces"
            raise StudyError(f"{path}:{line}: not valid YAML: {told}") from None
        except RecursionError:
            raise StudyError(f"{path}: not {kind}: values are nested too deeply") from None

    def _read(self, text: str) -> tuple[yaml.Node, Any]:
        """Return the nodes of the file, where ``<<`` is resolved, and their content."""
        loader = Loader(text)
        try:
            root = loader.get_single_node()
            if not isinstance(root, yaml.MappingNode):
                raise StudyError(f"{self.path}: a mapping of keys to values is expected")
            self._check_keys(root, ())
            return root, loader.construct_document(root)
        finally:
            loader.dispose()

    def where(self, location: Sequence[str | int], about: str = "") -> str:
        """Return ``path:line`` of the value at `location`, or of the nearest one around it.

        If that is a mapping, of its key that the words `about` it name first.
        """
        node, line, _ = self._find(location)
        if isinstance(node, yaml.MappingNode):
            lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
            line = next((lines[word] for word in re.findall(r"\w+", about) if word in lines), line)
        return f"{self.path}:{line}"

    def with_text(
        self, content: Any, location: Sequence[str | int], prefix: Sequence[str | int] = ()
    ) -> Any:
        """Return a copy of `content` that has the text of a scalar instead of its value.

        Parameters
        ----------
        content: mapping
            What the file has at `prefix`; it is returned as it is if there is no scalar.
        location: sequence of str or int
            Where in the content. pydantic may add steps of its own at the end.
        prefix: sequence of str or int
            Where in the file the content stands.
        """
        node, _, steps = self._find([*prefix, *location])
        if not isinstance(node, yaml.ScalarNode) or steps <= len(prefix):
            return content
        return _replaced(content, location[: steps - len(prefix)], node.value)

    def _find(self, location: Sequence[str | int]) -> tuple[yaml.Node, int, int]:
        """Return the node at `location` or the nearest around it, its line, the steps to it."""
        node, line = self._root, 1
        for steps, step in enumerate(location):
            child = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == step:
                        child, line = value, key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and step in range(len(node.value)):
                child = node.value[int(step)]
                line = child.start_mark.line + 1
            if child is None:
                return node, line, steps
            node = child
        return node, line, len(location)

    def text(self, location: Sequence[str | int]) -> str | None:
        """Return the scalar at `location` as it is written; None if none is there."""
        node, _, steps = self._find(location)
        found = isinstance(node, yaml.ScalarNode) and steps == len(location)
        return str(node.value) if found else None

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

    def _check_keys(self, node: yaml.Node, around: tuple[yaml.Node, ...]) -> None:
        """Refuse keys that are given twice or are no words, and a value that contains itself."""
        line = f"{self.path}:{node.start_mark.line + 1}"
        if node in around:
            raise StudyError(f"{line}: an alias contains itself")
        if isinstance(node, yaml.SequenceNode):
            for child in node.value:
                self._check_keys(child, (*around, node))
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                line = f"{self.path}:{key.start_mark.line + 1}"
                if not isinstance(key, yaml.ScalarNode):
                    raise StudyError(f"{line}: a key is a word; here it is a list or a mapping")
                if key.value in seen:
                    merge = key.tag == "tag:yaml.org,2002:merge"
                    hint = "; several are merged by a list, <<: [*one, *two]" if merge else ""
                    raise StudyError(f"{line}: key {key.value!r} is given twice{hint}")
                seen.add(key.value)
                self._check_keys(value, (*around, node))


def _replaced(content: Any, location: Sequence[str | int], text: str) -> Any:
    """Return a copy of nested mappings and lists with `text` at a location."""
    if not location:
        return text
    step, *rest = location
    if isinstance(content, dict):
        return {**content, step: _replaced(content[step], rest, text)}
    return [_replaced(v, rest, text) if i == step else v for i, v in enumerate(content)]
