"""CUB-200-2011, birds of 200 species with boxes, from a copy that its user has.

The images are links, in the splits and classes that the set's lists say. ::

    train/001.Black_footed_Albatross/*.jpg   -> COPY/images/001.Black_footed_Albatross/*.jpg
    classes.json                             names of the species
    boxes.json                               where the bird is
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from plugins.classification.data.layout import SPLITS, write_boxes, write_classes
from plugins.contracts.copies import CopyCard, check_counts, check_folder, link, some
from plugins.contracts.dataset import PrepareError, Source

__all__ = ["CARD", "SOURCES", "prepare", "recognises"]

SOURCES: tuple[Source, ...] = ()

CARD = CopyCard(
    task="classification",
    content="photos of birds of 200 species, with a box each",
    licence="images under their owners' licences; for non-commercial research and education only",
    unit="images",
    benchmark="CUB-200-2011",
    composed=False,
    in_domain=True,
    packages=(),
    notes=(
        "val is the set's test split: what is chosen by looking at it was chosen on test",
        "some images are in ImageNet too, on which pretrained weights may have been trained",
        "100 images of each split were decoded",
    ),
    where="CUB-200-2011 is at https://www.vision.caltech.edu/datasets/cub_200_2011; unpack"
    " CUB_200_2011.tgz, and give the folder CUB_200_2011",
)

TOP = "CUB_200_2011"
IMAGES = "images"
LISTS = {
    "images.txt": "a number and a path",
    "image_class_labels.txt": "the number of an image and that of a class",
    "train_test_split.txt": "the number of an image, and 1 for train or 0 for test",
    "bounding_boxes.txt": "the number of an image, and x, y, width and height in pixels",
    "classes.txt": "the number of a class and its folder",
}
"""What a line of each has."""
OFFICIAL = {"train images": 5_994, "val images": 5_794, "classes": 200}
OUTPUTS = OFFICIAL["classes"]
TRAINING_ITEMS = OFFICIAL["train images"]


def recognises(folder: Path) -> bool:
    """Tell whether a folder looks like a copy of CUB-200-2011, complete or not."""
    return (folder / TOP).is_dir() or any(
        (folder / name).is_file() for name in ("image_class_labels.txt", "train_test_split.txt")
    )


def prepare(copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False) -> dict:
    """Check a copy of CUB-200-2011; write links, and the boxes of the birds, into `out`.

    Parameters
    ----------
    copy: Path
        The folder with ``images.txt`` and the other lists, or the one that it lies in.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.
    subset: bool
        Whether the numbers of images and classes may differ from those of the set.

    Returns
    -------
    dict
        ``items`` (images) of each split; ``official``: whether the numbers are those of the set.

    Raises
    ------
    PrepareError
        If the copy is not CUB-200-2011, or not whole.
    """
    check_folder(copy, CARD)
    top = copy / TOP if (copy / TOP).is_dir() else copy
    for name in LISTS:
        if not (top / name).is_file():
            raise PrepareError(f"{top / name} is missing{_likely_mistake(top)}; {CARD.where}")
    progress("reading the lists")
    paths, classes = _read(top, "images.txt"), _read(top, "classes.txt")
    labels, splits = _read(top, "image_class_labels.txt"), _read(top, "train_test_split.txt")
    boxes = _read(top, "bounding_boxes.txt")
    _check_agree(top, paths, labels, classes)
    missing = [path for path in paths.values() if not (top / IMAGES / path).is_file()]
    if missing:
        raise PrepareError(f"images of {top / IMAGES} are missing: {some(missing)}; {CARD.where}")
    placed = {}
    for number, path in paths.items():
        if splits.get(number) not in ("0", "1"):
            raise PrepareError(
                f"{top / 'train_test_split.txt'} says {splits.get(number)!r} of image {number}, "
                "not 1 for train or 0 for test"
            )
        placed[number] = f"{SPLITS[splits[number] == '0']}/{path}"
    found = Counter(place.partition("/")[0] for place in placed.values())
    items = {split: found[split] for split in SPLITS}
    numbers = {f"{split} images": items[split] for split in SPLITS} | {"classes": len(classes)}
    official = check_counts(numbers, OFFICIAL, subset)
    for number, place in placed.items():
        link(top / IMAGES / paths[number], out / place)
    write_classes(out, {folder: _name(folder) for folder in sorted(classes.values())})
    write_boxes(out, {place: _box(top, number, boxes) for number, place in placed.items()})
    return {"items": items, "official": official}


def _likely_mistake(top: Path) -> str:
    """Say what the folder holds instead, if it is one of the usual mistakes."""
    if (top / "lists").is_dir() or (top / "annotations-mat").is_dir():
        return ": this is CUB-200 of 2010, an older set with 6,033 images"
    if (top / "CUB_200_2011.tgz").is_file():
        return ": the archive is not unpacked"
    return ""


def _read(top: Path, name: str) -> dict[str, str]:
    """Return the rest of each line of a list by the number that it begins with."""
    found = {}
    try:
        lines = (top / name).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise PrepareError(f"{top / name} is no text in UTF-8 ({error})") from error
    for at, line in enumerate(lines, 1):
        number, _, rest = line.strip().partition(" ")
        if not line.strip():
            continue
        if not number.isdecimal() or not rest or number in found:
            raise PrepareError(
                f"{top / name}, line {at}: {line!r:.80}; {LISTS[name]} is meant, each number once"
            )
        found[number] = rest.strip()
    return found


def _check_agree(
    top: Path, paths: dict[str, str], labels: dict[str, str], classes: dict[str, str]
) -> None:
    """Raise PrepareError unless each image lies in the folder of the class that it has."""
    for number, path in paths.items():
        folder = classes.get(labels.get(number, ""))
        if folder is None or Path(path).parts[0] != folder or ".." in Path(path).parts:
            raise PrepareError(
                f"{top / 'images.txt'} says that image {number} is {path}, and "
                f"image_class_labels.txt that its class is {labels.get(number)} ({folder}); take "
                "the lists from the archive again"
            )


def _name(folder: str) -> str:
    """Return the name of a species: ``Black footed Albatross`` of 001.Black_footed_Albatross."""
    return folder.partition(".")[2].replace("_", " ") or folder


def _box(top: Path, number: str, boxes: dict[str, str]) -> tuple[float, float, float, float]:
    words = boxes.get(number, "").split()
    try:
        x, y, width, height = map(float, words)
    except ValueError:
        raise PrepareError(
            f"{top / 'bounding_boxes.txt'} says {boxes.get(number)!r} of image {number}, not x, y, "
            "width and height in pixels"
        ) from None
    return x, y, width, height
