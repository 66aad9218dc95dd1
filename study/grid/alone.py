"""A grid file for one run, to train it again elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

__all__ = ["grid_file"]


def grid_file(run: Mapping[str, Any]) -> str:
    """Return the text of a grid file that asks for this run and no other.

    The recipe is written out, so that later changes of defaults change nothing. The name of the
    file does not matter: the id of a run depends on its science configuration alone.
    """
    science = run["science"]
    product: dict[str, Any] = {"mechanism": [science["mechanism"]]}
    if science["sites"]:
        product["sites"] = [list(science["sites"])]
    grid = {
        "task": science["task"],
        "recipe": science["recipe"],
        "product": product,
        "seeds": [science["seed"]],
    }
    text = yaml.safe_dump(grid, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return f"# Asks for one run: {json.dumps(run['id'], ensure_ascii=False)}\n{text}"
