"""Cityscapes, finely annotated, from a copy that its user has.

The images are links. The archives have no ``*_gtFine_labelTrainIds.png``; they are made from
``*_gtFine_labelIds.png``: ::

    leftImg8bit/train, val   -> COPY/leftImg8bit/train, val
    gtFine/<split>/<city>/*_gtFine_labelTrainIds.png
    meta.json                classes and palette
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from plugins.contracts.copies import (
    CopyCard,
    check_counts,
    check_folder,
    link,
    readable_image,
    some,
)
from plugins.contracts.dataset import PrepareError, Source
from plugins.segmentation.data.layout import (
    IGNORE,
    IMAGE_END,
    IMAGES,
    LABEL_END,
    LABELS,
    SPLITS,
    write_classes,
)

__all__ = ["CARD", "CLASSES", "SOURCES", "prepare", "recognises"]

SOURCES: tuple[Source, ...] = ()

CARD = CopyCard(
    task="segmentation",
    content="street scenes of German and neighbouring cities with 19 classes",
    licence="Cityscapes licence: non-commercial, no redistribution",
    unit="images",
    benchmark="Cityscapes fine",
    composed=False,
    in_domain=True,
    packages=("numpy", "pillow"),
    notes=(
        "val is of other cities than train",
        "the fingerprint covers the content of the training labels, and names and sizes of the"
        " images",
        "all labels and 100 images of each split were decoded",
    ),
    where="Cityscapes is at https://www.cityscapes-dataset.com/downloads (free registration);"
    " unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip in one folder",
)


class Class(NamedTuple):
    """A class that is evaluated: its number in ``labelIds``, name and colour."""

    number: int
    name: str
    colour: tuple[int, int, int]


# The classes that the benchmark evaluates, in the order of their training numbers
# (https://www.cityscapes-dataset.com/dataset-overview). All other numbers, up to 33, are ignored.
CLASSES = (
    Class(7, "road", (128, 64, 128)),
    Class(8, "sidewalk", (244, 35, 232)),
    Class(11, "building", (70, 70, 70)),
    Class(12, "wall", (102, 102, 156)),
    Class(13, "fence", (190, 153, 153)),
    Class(17, "pole", (153, 153, 153)),
    Class(19, "traffic light", (250, 170, 30)),
    Class(20, "traffic sign", (220, 220, 0)),
    Class(21, "vegetation", (107, 142, 35)),
    Class(22, "terrain", (152, 251, 152)),
    Class(23, "sky", (70, 130, 180)),
    Class(24, "person", (220, 20, 60)),
    Class(25, "rider", (255, 0, 0)),
    Class(26, "car", (0, 0, 142)),
    Class(27, "truck", (0, 0, 70)),
    Class(28, "bus", (0, 60, 100)),
    Class(31, "train", (0, 80, 100)),
    Class(32, "motorcycle", (0, 0, 230)),
    Class(33, "bicycle", (119, 11, 32)),
)
OUTPUTS = len(CLASSES)
LAST_NUMBER = 33

IDS_END = "_gtFine_labelIds.png"
OFFICIAL = {"train images": 2_975, "val images": 500}
TRAINING_ITEMS = OFFICIAL["train images"]


def recognises(folder: Path) -> bool:
    """Tell whether a folder looks like a copy of Cityscapes, complete or not."""
    return any((folder / name).is_dir() for name in (IMAGES, LABELS))


def prepare(copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False) -> dict:
    """Check a copy of Cityscapes; write labels with training numbers, and links, into `out`.

    Parameters
    ----------
    copy: Path
        The folder with ``leftImg8bit`` and ``gtFine``.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.
    subset: bool
        Whether the numbers of images may differ from those of Cityscapes.

    Returns
    -------
    dict
        ``items`` (images) and ``cities`` of each split; ``official``: whether the numbers are
        those of Cityscapes.

    Raises
    ------
    PrepareError
        If the copy is not Cityscapes' fine set, or not whole.
    """
    check_folder(copy, CARD)
    for part in (IMAGES, LABELS):
        if not (copy / part).is_dir():
            coarse = part == LABELS and (copy / "gtCoarse").is_dir()
            instead = ": gtCoarse is another set of annotations" if coarse else ""
            raise PrepareError(f"{copy / part} is missing{instead}; {CARD.where}")
    stems = {split: _stems(copy, split) for split in SPLITS}
    official = check_counts(
        {f"{split} images": len(stems[split]) for split in SPLITS}, OFFICIAL, subset
    )
    for split in SPLITS:
        for number, stem in enumerate(stems[split]):
            if number % 25 == 0:
                progress(f"{split} labels, {number} of {len(stems[split])}")
            _make_label(copy, out, split, stem)
        link(copy / IMAGES / split, out / IMAGES / split)
    write_classes(out, [known.name for known in CLASSES], [known.colour for known in CLASSES])
    return {
        "items": {split: len(stems[split]) for split in SPLITS},
        "cities": {split: len({Path(stem).parent for stem in stems[split]}) for split in SPLITS},
        "official": official,
    }


def _stems(copy: Path, split: str) -> list[str]:
    """Return ``<city>/<name>`` of the pairs of image and label of a split, in order."""
    found = {}
    for part, end in ((IMAGES, IMAGE_END), (LABELS, IDS_END)):
        folder = copy / part / split
        paths = folder.glob(f"*/*{end}") if folder.is_dir() else ()
        found[part] = {
            path.relative_to(folder).as_posix().removesuffix(end)
            for path in paths
            if not path.name.startswith(".")
        }
        if not found[part]:
            only_test = (copy / part / "test").is_dir() and not folder.is_dir()
            instead = ": there is only the test split, without annotations" if only_test else ""
            raise PrepareError(f"{folder} has no <city>/*{end}{instead}; {CARD.where}")
    if without := found[IMAGES] - found[LABELS]:
        raise PrepareError(f"{split} images without {IDS_END[1:]}: {some(without)}")
    if without := found[LABELS] - found[IMAGES]:
        raise PrepareError(f"{split} labels without {IMAGE_END[1:]}: {some(without)}")
    return sorted(found[IMAGES])


def _make_label(copy: Path, out: Path, split: str, stem: str) -> None:
    """Write the label of one image with training numbers."""
    import numpy as np
    from PIL import Image

    source = copy / LABELS / split / f"{stem}{IDS_END}"
    with readable_image(source), Image.open(source) as label:
        numbers = np.asarray(label)
    if numbers.ndim != 2 or numbers.dtype != np.uint8 or numbers.max() > LAST_NUMBER:
        raise PrepareError(
            f"{source} is no label with one number from 0 to {LAST_NUMBER} a pixel; it may have "
            "been overwritten with colours or training numbers: take it from the archive again"
        )
    table = np.full(LAST_NUMBER + 1, IGNORE, np.uint8)
    table[[known.number for known in CLASSES]] = np.arange(len(CLASSES))
    place = out / LABELS / split / f"{stem}{LABEL_END}"
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(table[numbers]).save(place)
