"""Where a trained model looks from one pixel of an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from torch import Tensor, nn

from plugins.contracts.job import Job
from plugins.openmmlab.checkpoints import newest_whole_checkpoint

__all__ = ["look", "of_query", "placement", "trained_model", "watch"]


def look(
    job: Job, config: dict[str, Any], image: Path, query: tuple[int, int] | None
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the weights of every mechanism of a trained model for one query.

    Parameters
    ----------
    job: Job
        The run; the weights are those of its newest whole checkpoint.
    config: dict
        Its runner config; only the model and the validation pipeline are used.
    image: Path
        Any image file.
    query: tuple of int, optional
        Column and row of a pixel of the image; the middle one if left out.

    Returns
    -------
    dict of numpy.ndarray
        ``image`` (H, W, 3), the network's input as uint8, padding included; ``query`` (2,), the
        pixel in it; and for each block what its mechanism's ``weights`` returns for that query.
        Generalized attention returns ``<name>/weights`` (M, Hk, Wk), with sum 1 in each head, and
        ``<name>/E1`` to ``<name>/E4``, the energies of the terms that are on, in the same shape.
        A backbone with a method ``looked`` shows what that returns: masks as ``backbone/<name>``
        (h, w), a box as ``backbone.<name>/crop`` (4, 2), its corners as shares of the image.

    Raises
    ------
    ValueError
        If there is no checkpoint, no block, no readable image, or the pixel lies outside.
    """
    cfg = Config(config)
    model = trained_model(job, cfg)
    inputs, query = _prepare(cfg, model, image, query)
    seen = watch(model)
    with torch.no_grad():
        if cfg.default_scope == "mmseg":
            model(inputs, mode="tensor")  # the head has a block too
        else:
            model.extract_feat(inputs)
        arrays = {"image": _picture(model, inputs), "query": np.array(query)}
        for name, (module, features) in seen.items():
            # The pixel in the block's feature map, whose stride depends on the stage.
            height, width = features.shape[-2:]
            row = query[1] * height // inputs.shape[-2]
            column = query[0] * width // inputs.shape[-1]
            arrays |= of_query(name, module, features, (row, column))
        if hasattr(model.backbone, "looked"):
            arrays |= _of_network(model.backbone.looked(inputs), inputs.shape[-2:])
    if not any("/" in name for name in arrays):
        raise ValueError(f"{job.mechanism} has no attention block to look into")
    return arrays


def of_query(
    name: str, module: Any, features: Tensor, query: tuple[int, int]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return what the mechanism of a module weighs for one position (row, column) of a map.

    The arrays are called ``<name>/<what>``; of a batch they are those of the first map.
    """
    found = module.mechanism.weights(module, features, queries=[query])
    first = {key: value[0, :, 0] if value.dim() == 5 else value[0] for key, value in found.items()}
    return {f"{name}/{key}": value.float().numpy() for key, value in first.items()}


def _of_network(found: dict[str, Tensor], size: Sequence[int]) -> dict[str, np.ndarray]:
    """Name the masks (1, h, w) and boxes (1, 4) of a network, for an image of height and width."""
    arrays = {}
    for name, (value,) in found.items():
        if value.dim() == 2:
            arrays[f"backbone/{name}"] = value.float().numpy()
        else:
            corners = value.float().numpy()[[[0, 1], [2, 1], [2, 3], [0, 3]]]
            arrays[f"backbone.{name}/crop"] = corners / size[::-1]
    return arrays


def trained_model(job: Job, cfg: Config) -> Any:
    """Return the model of a run, in evaluation, with the weights of its newest whole checkpoint.

    Raises
    ------
    ValueError
        If there is none.
    """
    checkpoint = newest_whole_checkpoint(job.folder / "checkpoints")
    if checkpoint is None:
        raise ValueError(f"{job.folder / 'checkpoints'} has no checkpoint: train the run first")
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    load_checkpoint(model, str(checkpoint), map_location="cpu", strict=True, logger="silent")
    return model.eval()


def watch(model: nn.Module) -> dict[str, tuple[Any, Tensor]]:
    """Return a dict that each pass through `model` fills, by the names of its mechanisms' modules.

    It has the module and the map (N, C, H, W) that came to it last.
    """
    seen: dict[str, tuple[Any, Tensor]] = {}
    for name, module in model.named_modules():
        if hasattr(module, "mechanism"):
            module.register_forward_pre_hook(
                lambda module, given, name=name: seen.update({name: (module, given[0])})
            )
    return seen


def _prepare(
    cfg: Config, model: Any, image: Path, query: tuple[int, int] | None
) -> tuple[Tensor, tuple[int, int]]:
    """Return the network's input (1, 3, H, W) and the query's pixel in it."""
    steps = [s for s in cfg.val_dataloader.dataset.pipeline if s["type"] != "LoadAnnotations"]
    try:
        loaded = Compose(steps[:1])({"img_path": str(image), "img_id": 0, "seg_fields": []})
    except FileNotFoundError:
        raise ValueError(f"no such image: {image}") from None
    except IsADirectoryError:
        raise ValueError(f"no such image: {image} is a folder") from None
    except OSError as error:
        raise ValueError(f"{image} cannot be read: {error.strerror}") from None
    except (AssertionError, cv2.error):  # mmcv's and OpenCV's ways to say that it can't be decoded
        raise ValueError(f"{image} is not an image, or a broken one") from None
    height, width = loaded["ori_shape"][:2]
    query = query or (width // 2, height // 2)
    if not (0 <= query[0] < width and 0 <= query[1] < height):
        raise ValueError(f"pixel {query[0]},{query[1]} is outside the image ({width} x {height})")
    try:
        sample = Compose(steps[1:])(loaded)
    except cv2.error:
        raise ValueError(
            f"{image} has {width} x {height} pixels: nothing is left of the shorter side once the "
            "image is scaled as those of the run are"
        ) from None
    scaled = _in_input(query, (width, height), sample["data_samples"].metainfo)
    batch: dict[str, Tensor] = model.data_preprocessor(pseudo_collate([sample]), False)
    return batch["inputs"], scaled


def placement(size: tuple[int, int], meta: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Return how an image lies in the network's input.

    It was scaled, and may have been cut to its middle, as by mmcv's ``CenterCrop``.

    Parameters
    ----------
    size: (int, int)
        Width and height of the image file.
    meta: dict
        What the pipeline has noted down.

    Returns
    -------
    (list of int, list of int)
        Width and height when it was scaled; columns and rows that were cut off before the first.
    """
    shown = meta["img_shape"][1::-1]
    factors = meta.get("scale_factor", (1, 1))
    scaled = [round(pixels * factor) for pixels, factor in zip(size, factors, strict=True)]
    return scaled, [round((whole - kept) / 2) for whole, kept in zip(scaled, shown, strict=True)]


def _in_input(
    query: tuple[int, int], size: tuple[int, int], meta: dict[str, Any]
) -> tuple[int, int]:
    """Return where a pixel of an image, of that width and height, is in the network's input."""
    shown = meta["img_shape"][1::-1]
    scaled, lost = placement(size, meta)
    column, row = (
        at * whole // pixels - left
        for at, whole, pixels, left in zip(query, scaled, size, lost, strict=True)
    )
    if not (0 <= column < shown[0] and 0 <= row < shown[1]):
        raise ValueError(
            f"pixel {query[0]},{query[1]} is outside the part of the image that the network sees,"
            f" the middle {shown[0]} x {shown[1]} of {scaled[0]} x {scaled[1]} pixels"
        )
    return column, row


def _picture(model: Any, inputs: Tensor) -> np.ndarray:
    """Undo the normalisation: (H, W, 3) uint8."""
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    pixels: Tensor = inputs * std + mean
    return pixels[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()
