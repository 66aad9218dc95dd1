"""Build a head of MMSegmentation's at a recipe's widths, and mark what counts as the mechanism."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import mmseg
from mmcv.ops import PSAMask
from mmengine.config import Config
from mmseg.models.decode_heads.dm_head import DCM
from mmseg.registry import MODELS
from torch import Tensor, nn

from plugins.attention.core.mechanism import Mechanism
from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.word import Word
from plugins.attention.kernels.maps.tiles import in_single
from plugins.openmmlab.heads.cost import mask_size
from plugins.openmmlab.heads.table import HEADS, Shipped

__all__ = ["build", "mechanism_head", "shipped_model"]

SHIPPED_CHANNELS = 512
"""Of the heads in MMSegmentation's configs; other widths within are in proportion to it."""

WIDTHS = ("channels", "pam_channels", "isa_channels", "project_channels", "ema_channels")


def shipped_model(name: str) -> Any:
    """Return the model of a config that MMSegmentation ships, such as ``fcn_r50-d8``."""
    folder = Path(mmseg.__file__).parent / ".mim/configs/_base_/models"
    return Config.fromfile(folder / f"{name}.py").model


@MODELS.register_module("MechanismHead")
def mechanism_head(
    word: str, in_channels: int, channels: int, size: tuple[int, int], **changes: Any
) -> nn.Module:
    """Return the head of a word.

    Parameters
    ----------
    word: str
        Such as ``danet``.
    in_channels: int
        Of the backbone's last map.
    channels: int
        Of the FCN head that it replaces.
    size: (int, int)
        Height and width of the map in training.
    **changes
        What else differs from the shipped config, such as ``num_classes``.
    """
    (part,) = Word.parse(word).parts
    height, width = size
    site = MapSite(
        places=(Place.HEAD,), channels=channels, in_channels=in_channels, size=(height, width)
    )
    return build(part, HEADS[part.name], site, **changes)


def build(part: Mechanism, shipped: Shipped, site: MapSite, **changes: Any) -> nn.Module:
    """Return the shipped head of a mechanism at the widths of a site."""
    config = shipped_model(f"{shipped.config}_r50-d8").decode_head
    for name in WIDTHS:
        if name in config:
            config[name] = max(1, config[name] * site.channels // SHIPPED_CHANNELS)
    several = isinstance(config.in_channels, list)
    config.in_channels = [site.in_channels // 2, site.in_channels] if several else site.in_channels
    if "mask_size" in config:
        config.mask_size = mask_size(*site.size)
    config.norm_cfg = {"type": "BN", "requires_grad": True}
    head: nn.Module = MODELS.build({**config, **changes})
    _mend(head)
    for name, module in head.named_modules():
        if any(fnmatchcase(name, pattern) for pattern in shipped.parts):
            vars(module)["is_mechanism"] = True
            if module is not head:
                vars(module)["mechanism"] = part
    return head


class _Mask(PSAMask):
    """mmcv's operator on what it does not know: the meta device, half precision, other layouts."""

    def forward(self, x: Tensor) -> Tensor:
        if x.is_meta:
            number, _, height, width = x.shape
            return x.new_empty(number, height * width, height, width)
        out: Tensor = super().forward(in_single(x).contiguous())
        return out


def _mend(head: Any) -> None:
    """Let a head work where MMSegmentation has not tried it."""
    if head.dropout is None:
        head.dropout = nn.Identity()  # ANNHead calls it without asking
    for name, module in list(head.named_children()):
        if isinstance(module, PSAMask):
            setattr(head, name, _Mask(module.psa_type, module.mask_size))
    for module in head.modules():
        if isinstance(module, DCM):
            for layer in (module.input_redu_conv, module.filter_gen_conv):
                layer.register_forward_hook(_in_rows)


def _in_rows(module: nn.Module, inputs: Any, out: Tensor) -> Tensor:
    """Undo the layout ``channels_last``, which DMHead cannot take apart."""
    return out.contiguous()
