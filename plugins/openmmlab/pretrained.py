"""Which file a recipe's ``pretrained`` names. Imports no framework.

The words are OpenMMLab's. MMEngine ships the tables of their URLs, but asks torchvision for its own
where that is installed, and fails without it. Its names without a version, such as
``torchvision://resnet50``, are in MMEngine's table of torchvision 0.12: the weights that
torchvision has called ``IMAGENET1K_V1`` since.
"""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

from plugins.contracts.job import CheckpointError
from plugins.contracts.names import nearest
from plugins.contracts.weights import WeightsFile
from plugins.training.downloads import cached

__all__ = ["TABLES", "WEB", "weights_file", "weights_files"]

TABLES = {
    "torchvision://": "torchvision_0.12.json",
    "modelzoo://": "torchvision_0.12.json",
    "open-mmlab://": "openmmlab.json",
    "openmmlab://": "openmmlab.json",
    "mmcls://": "mmcls.json",
}
"""MMEngine's table of each kind of name, in its folder ``hub``."""

WEB = ("http://", "https://")


def weights_files(name: str | None) -> tuple[WeightsFile, ...]:
    """Return the file of a recipe's ``pretrained``, none without one."""
    return () if name is None else (weights_file(name),)


def weights_file(name: str) -> WeightsFile:
    """Return which file a name stands for; nothing is fetched.

    Parameters
    ----------
    name: str
        A name of MMEngine's, a URL, or a path.

    Raises
    ------
    CheckpointError
        If MMEngine knows no such name.
    """
    if name.startswith(WEB):
        return WeightsFile(name, cached(name), name)
    scheme = next((scheme for scheme in TABLES if name.startswith(scheme)), None)
    if scheme is None:
        if "://" in name:
            raise CheckpointError(
                f"pretrained {name!r} begins with none of {', '.join([*TABLES, *WEB])}"
            )
        return WeightsFile(name, Path(name).expanduser().absolute())
    known = _table(TABLES[scheme])
    model = name.removeprefix(scheme)
    if TABLES[scheme] == "openmmlab.json":
        model = _table("deprecated.json").get(model, model)
        known |= _users(_mmengine_home() / "open_mmlab.json")
    if model not in known:
        raise CheckpointError(
            f"pretrained {name!r}: MMEngine knows no such weights{nearest(model, known)}. Those of"
            " elsewhere are named by their URL or their path"
        )
    place = known[model]
    if not place.startswith(WEB):
        return WeightsFile(name, _mmengine_home() / place)
    return WeightsFile(name, cached(place), place)


def _table(file: str) -> dict[str, str]:
    spec = find_spec("mmengine")  # found, not imported
    if spec is None or spec.origin is None:
        raise CheckpointError(
            "MMEngine's files say what the name of pretrained weights stands for; install it: make"
            " setup"
        )
    text = (Path(spec.origin).parent / "hub" / file).read_text(encoding="utf-8")
    # torchvision listed some models before it had weights of them.
    return {name: place for name, place in json.loads(text).items() if place}


def _users(path: Path) -> dict[str, str]:
    """Return the names that MMEngine's user has added."""
    try:
        added: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return added


def _mmengine_home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("MMENGINE_HOME", Path(cache, "mmengine"))).expanduser()
