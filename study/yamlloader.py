"""Numbers, truth values and nothing as the core schema of YAML 1.2 has them; the rest is text."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError

__all__ = ["Loader"]

FORMS = {
    "null": r"|~|null|Null|NULL",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
}
"""Scalars that may be no text: https://yaml.org/spec/1.2.2/#103-core-schema."""

BEGINNINGS = {
    "null": ["", *"~nN"],
    "bool": [*"tTfF"],
    "int": [*"-+0123456789"],
    "float": [*"-+0123456789."],
}
TERM_SET = "(?![01]{4}$)"
"""Four digits 0 and 1 are text; a field of numbers takes them for a number all the same."""


class Loader(yaml.SafeLoader):
    """YAML 1.1 reads ``0110`` as 72, ``on`` as true, ``1:30`` as 90; here all three are text.

    The keys of a mapping are text as it is written, whatever it looks like.
    """

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012  # as PyYAML declares it
    yaml_constructors: dict[str | None, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping, with what ``<<`` brings."""
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "a mapping is expected", node.start_mark)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}

    def construct_text(self, node: yaml.ScalarNode) -> str:
        """Return text; half of a surrogate pair, as ``\\ud800`` makes one, could not be written."""
        text: str = self.construct_scalar(node)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ConstructorError(None, None, f"half of a character: {text!a}", node.start_mark)
        return text

    def construct_null(self, node: yaml.ScalarNode) -> None:
        """Return None."""
        self._checked(node, "null")

    def construct_bool(self, node: yaml.ScalarNode) -> bool:
        """Return a truth value."""
        return self._checked(node, "bool").lower() == "true"

    def construct_int(self, node: yaml.ScalarNode) -> int:
        """Return a whole number: decimal, octal after ``0o``, hexadecimal after ``0x``."""
        text = self._checked(node, "int")
        try:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        except ValueError:  # Python reads no more than some thousand digits
            problem = f"a number of {len(text)} digits"
            raise ConstructorError(None, None, problem, node.start_mark) from None

    def construct_float(self, node: yaml.ScalarNode) -> float:
        """Return a number; which fields take infinity is theirs to say."""
        text = self._checked(node, "float").lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))

    def _checked(self, node: yaml.ScalarNode, kind: str) -> str:
        """Return the text of a scalar; a tag such as ``!!int`` may have called it what it isn't."""
        text: str = self.construct_scalar(node)
        if not re.fullmatch(FORMS[kind], text):
            raise ConstructorError(None, None, f"{text!r} is no {kind}", node.start_mark)
        return text


for name, form in FORMS.items():
    tag = f"tag:yaml.org,2002:{name}"
    expression = re.compile(rf"{TERM_SET}(?:{form})\Z")
    Loader.add_implicit_resolver(tag, expression, BEGINNINGS[name])
    Loader.add_constructor(tag, getattr(Loader, f"construct_{name}"))
Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"])
for name in ("str", "merge"):
    Loader.add_constructor(f"tag:yaml.org,2002:{name}", Loader.construct_text)
for name in ("seq", "map"):
    tag = f"tag:yaml.org,2002:{name}"
    Loader.add_constructor(tag, yaml.SafeLoader.yaml_constructors[tag])
Loader.add_constructor(None, yaml.SafeLoader.construct_undefined)
