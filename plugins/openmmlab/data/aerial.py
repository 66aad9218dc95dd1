"""The aerial photos that the deepforest wheel carries (NEON sites, read off the file names).

Sets that use a photo divide it by one horizontal line: above it is train, below it what is held
out. So no pixel is shared, within a set and among sets.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, NamedTuple

from plugins.contracts.dataset import Source

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DEEPFOREST", "PHOTOS", "Photo", "read_image"]

DEEPFOREST = Source(
    package="deepforest",
    version="2.1.0",
    file="deepforest-2.1.0-py3-none-any.whl",
    sha256="8c2798d8e9be7f0004b194fe207b76c1d9fff6e711b3db67b9508dcd5d00ae54",
    size=20_639_595,
)


class Photo(NamedTuple):
    """A large photo of the wheel, and the first row of its strip for validation."""

    stem: str
    val_from: int


# The strips are 3 and 2 tiles of 256 px high, for the tiles of `trees`.
PHOTOS = (
    Photo("2019_YELL_2_528000_4978000_image_crop2", 2472 - 3 * 256),
    Photo("2019_YELL_2_541000_4977000_image_crop", 1035 - 2 * 256),
)


def read_image(wheel: zipfile.ZipFile, stem: str) -> Image:
    """Return the RGB photo `stem` of an open deepforest wheel."""
    from PIL import Image

    return Image.open(io.BytesIO(wheel.read(f"deepforest/data/{stem}.png"))).convert("RGB")
