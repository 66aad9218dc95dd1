"""Run folders in, one tidy table out: a row is a run, finished or not.

=====================  ==========================================================================
``id``, ``label``      of ``run.json``
``grid``               the grid that made the run first
``task``, ``data``     ``detection`` and the like; the recipe's data set
``mechanism``          its word
``sites``              joined by dots, as in the label; empty where nothing is placed
``seed``, ``version``  of the science configuration
``state``              derived, see ``docs/run-folder.md``
``metric``, ``value``  name of the headline metric and its value after training
``metrics.<name>``     every metric after training, one column each
``untrained``          the headline metric before the first step
``loss_first``         training loss at the start, ``loss_last`` at the end
``model_macs``         multiply-accumulates of the whole model for one input of ``input_shape``;
                       likewise ``model_parameters``, ``mechanism_macs``, ``mechanism_parameters``
``input_shape``        joined by ×
``uncounted``          operators without a MAC formula: ``name=elements`` joined by ``; ``
``seconds``            training time over all attempts
``peak_memory_bytes``  of the training process
``attempts``           how many executions the run took, or has taken so far
``recipe``             canonical JSON: equal recipes are equal strings
``positions``          translation: whether absolute positions are added, ``on`` or ``off``
``data_card``          one line about the data, to be repeated under every table
=====================  ==========================================================================

What a run does not have yet is missing (NaN), never zero. Whoever reads the CSV file needs
``dtype={"mechanism": str}``, or ``0010`` becomes the number ten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from study.errors import StudyError
from study.folder import RunFolder

__all__ = ["COLUMNS", "collect"]

COLUMNS = (
    *("id", "label", "grid", "task", "data", "mechanism", "sites", "seed", "version", "state"),
    *("metric", "value", "untrained", "loss_first", "loss_last"),
    *("model_macs", "model_parameters", "mechanism_macs", "mechanism_parameters"),
    *("input_shape", "uncounted", "seconds", "peak_memory_bytes", "attempts"),
    *("recipe", "positions", "data_card"),
)
"""Columns of every frame, in order; the ``metrics.<name>`` of the runs at hand follow."""

NUMBERS = (
    *("value", "untrained", "loss_first", "loss_last"),
    *("model_macs", "model_parameters", "mechanism_macs", "mechanism_parameters"),
    *("seconds", "peak_memory_bytes"),
)


def collect(folders: Iterable[RunFolder]) -> pd.DataFrame:
    """Read run folders into a frame with the columns of the module's docstring.

    Parameters
    ----------
    folders: iterable of RunFolder
        Usually ``study.archive.every_run(root)``: an archived run reads as its folder did.

    Returns
    -------
    pandas.DataFrame
        One row a run, in the order given. ``attrs["broken"]`` lists the folders that could not be
        read as (path, reason) pairs of strings: one bad disk block must not hide 900 good runs.
    """
    rows: list[dict[str, Any]] = []
    broken: list[tuple[str, str]] = []
    for folder in folders:
        try:
            rows.append(_row(folder))
        except KeyError as error:
            broken.append((str(folder.path), f"the key {error} is missing"))
        except (StudyError, OSError, TypeError, ValueError, AttributeError) as error:
            broken.append((str(folder.path), str(error)))
    metrics = sorted({name for row in rows for name in row if name.startswith("metrics.")})
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *metrics])
    # A column without a single number would be of objects, and arithmetic on it would fail.
    frame = frame.astype(dict.fromkeys(NUMBERS, "float64"))
    frame.attrs["broken"] = broken
    return frame


def _row(folder: RunFolder) -> dict[str, Any]:
    run, result = folder.run, folder.result
    if run is None:
        raise StudyError(f"{folder.path}: no run.json")
    if run["id"] != folder.path.name:  # a copy of a run would count as one more seed
        raise StudyError(f"the folder is not named after its run, {run['id']}; is it a copy?")
    science = run["science"]
    recipe = science["recipe"]
    row = {
        **{name: run[name] for name in ("id", "label", "grid")},
        **{name: science[name] for name in ("task", "mechanism", "seed", "version")},
        "data": recipe["data"],
        "sites": ".".join(science["sites"]),
        "recipe": json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        "positions": _switch(recipe.get("absolute_positions")),
        "data_card": _card(folder, recipe["data"]),
    }
    if result is None:
        return row | {"state": folder.state(), "attempts": len(folder.attempts)}
    if result["hash"] != run["hash"]:
        raise StudyError("result.json belongs to another run: its hash is not that of run.json")
    return row | {"state": "completed"} | _outcome(result)


def _outcome(result: dict[str, Any]) -> dict[str, Any]:
    metric, cost = result["metric"], result["cost"]
    numbers = {
        "value": result["metrics"][metric],
        "untrained": result["untrained"].get(metric),
        "loss_first": result["loss"]["first"],
        "loss_last": result["loss"]["last"],
        "model_macs": cost["model"]["macs"],
        "model_parameters": cost["model"]["parameters"],
        "mechanism_macs": cost["mechanism"]["macs"],
        "mechanism_parameters": cost["mechanism"]["parameters"],
        "seconds": result["seconds"],
        "peak_memory_bytes": result["peak_memory_bytes"],
    }
    return {
        "metric": metric,
        **{name: None if value is None else float(value) for name, value in numbers.items()},
        "input_shape": "×".join(str(size) for size in cost["input_shape"]),
        "uncounted": "; ".join(f"{name}={n}" for name, n in sorted(cost["uncounted"].items())),
        "attempts": result["attempts"],
        **{f"metrics.{name}": value for name, value in result["metrics"].items()},
    }


def _switch(value: bool | None) -> str | None:
    return None if value is None else ("on" if value else "off")


def _card(folder: RunFolder, data: str) -> str | None:
    """The card of the recipe's data set, or of all that took part when it has another name."""
    described = (folder.provenance or {}).get("data", {})
    cards = [described[data]] if data in described else list(described.values())
    return " | ".join(entry["card"] for entry in cards) or None
