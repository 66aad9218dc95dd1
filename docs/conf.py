"""Sphinx: the pages of this folder, and a reference made from the docstrings (``make docs``)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROOMS = ("study", "plugins", "analysis")

project = "spatial-attention-study"
html_title = project
html_theme = "alabaster"
html_theme_options = {"page_width": "1240px", "body_max_width": "none"}
html_show_copyright = False
extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "reference/*/modules.rst"]
myst_heading_anchors = 3

# A page a module, found by looking; a module says with `__all__` what is public.
apidoc_modules = [
    {"path": str(Path(__file__).parents[1] / room), "destination": f"reference/{room}"}
    for room in ROOMS
]
# They can be imported only where there is Triton.
apidoc_exclude_patterns = ["**/attend/in_triton.py", "**/attend/launch.py"]
apidoc_separate_modules = True
apidoc_module_first = True
apidoc_automodule_options = {"members", "show-inheritance"}
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # several names a line

# `name` in a docstring is a link where it names something, and code where it does not.
default_role = "py:obj"
# What refers to our own names is checked. Types are also words ("callable", "optional"), names of
# other libraries, whose inventories are not fetched, private bases and type variables; one that is
# named without its module may be that of several modules.
OURS = rf"(?:{'|'.join(ROOMS)})\."
nitpick_ignore_regex = [
    ("py:obj", ".*"),
    ("py:(class|exc)", rf"(?!{OURS}).*"),
    ("py:class", rf"{OURS}.*(\._\w+|\.(T|Class|Encoder|Decoder)|\[.*)"),
]
suppress_warnings = ["ref.python"]

# fairseq, once imported, lets every library tell all it does.
logging.getLogger("markdown_it").setLevel(logging.WARNING)


def _is_model(what: str, obj: Any) -> bool:
    return what == "class" and issubclass(obj, BaseModel)


def _leave_out(app: Any, what: str, name: str, obj: Any, *_: Any) -> tuple[str, str] | None:
    """Show no signature of a pydantic model, which is its fields with all that they check."""
    return ("", "") if _is_model(what, obj) else None


def _describe(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Add to the page of a pydantic model what its fields say of themselves."""
    if _is_model(what, obj):
        described = {key: field for key, field in obj.model_fields.items() if field.description}
        lines += ["", ":Fields:"] if described else []
        for key, field in described.items():
            default = "" if field.is_required() else f" (default ``{field.default!r}``)"
            lines.append(f"   * **{key}**: {field.description}{default}")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _leave_out)
    app.connect("autodoc-process-docstring", _describe)
