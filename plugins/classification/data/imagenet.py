"""ImageNet, the 1,000 classes of ILSVRC2012, from a copy that its user has.

The images are links. ::

    train                    -> COPY/train, a folder a class
    val                      -> COPY/val if it has a folder a class, or
    val/<class>/*.JPEG       -> COPY/val/*.JPEG
    classes.json             names of the classes, as far as the copy says them
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from plugins.classification.data.ground_truth import find_labels, find_names
from plugins.classification.data.layout import SPLITS, write_classes
from plugins.contracts.copies import CopyCard, check_counts, check_folder, link, some
from plugins.contracts.dataset import PrepareError, Source

__all__ = ["CARD", "SOURCES", "prepare", "recognises"]

SOURCES: tuple[Source, ...] = ()

CARD = CopyCard(
    task="classification",
    content="photos of 1,000 classes of objects",
    licence="ImageNet's terms: non-commercial research and education, no redistribution",
    unit="images",
    benchmark="ImageNet (ILSVRC2012)",
    composed=False,
    in_domain=True,
    packages=(),
    notes=(
        "val is what papers report: what is chosen by looking at it was chosen on it",
        "the fingerprint covers names and sizes of the images, not their content, where whole"
        " folders are led to",
        "100 images of each split were decoded",
    ),
    where="ImageNet is at https://image-net.org/download-images (free registration); unpack"
    " ILSVRC2012_img_train.tar into train and each archive in it into a folder of its name,"
    " ILSVRC2012_img_val.tar into val, and ILSVRC2012_devkit_t12.tar.gz beside them",
)

OFFICIAL = {"train images": 1_281_167, "val images": 50_000, "classes": 1_000}
OUTPUTS = OFFICIAL["classes"]
TRAINING_ITEMS = OFFICIAL["train images"]

CLASS = re.compile(r"n\d{8}")
"""The folder of a class is called by its number in WordNet."""
END = ".jpeg"
TREES = ("", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC", "ILSVRC2012")
"""Where train and val may lie in a copy; Kaggle's archive has the longer ones."""


def recognises(folder: Path) -> bool:
    """Tell whether a folder looks like a copy of ImageNet, complete or not."""
    trains = (folder / tree / "train" for tree in TREES)
    return any(
        CLASS.match(entry.name) for train in trains if train.is_dir() for entry in train.iterdir()
    )


def prepare(copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False) -> dict:
    """Check a copy of ImageNet, and link to it from the folder `out`.

    Parameters
    ----------
    copy: Path
        The folder with ``train`` and ``val``, or that of Kaggle's archive.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.
    subset: bool
        Whether the numbers of images and classes may differ from those of ImageNet.

    Returns
    -------
    dict
        ``items`` (images) of each split; ``official``: whether the numbers are those of ImageNet.

    Raises
    ------
    PrepareError
        If the copy is not ImageNet, or not whole.
    """
    check_folder(copy, CARD)
    top = next((copy / tree for tree in TREES if (copy / tree / "train").is_dir()), None)
    if top is None:
        raise PrepareError(f"{copy} has no train{_instead(copy)}; {CARD.where}")
    progress("counting the images of train")
    train = _by_class(top / "train")
    if not train:
        raise PrepareError(
            f"{top / 'train'} has no folder of a class, such as n01440764"
            f"{_instead(top / 'train')}; {CARD.where}"
        )
    if empty := [name for name, files in train.items() if not files]:
        raise PrepareError(
            f"folders of {top / 'train'} have no {END.upper()}: {some(empty)}; {CARD.where}"
        )
    progress("looking for the images of val")
    if not (top / "val").is_dir():
        raise PrepareError(f"{top / 'val'} is missing; {CARD.where}")
    val = _by_class(top / "val")
    flat = not val
    if flat:
        val = _sorted_by_label(copy, top, train)
    if strange := val.keys() - train.keys():
        raise PrepareError(f"{top / 'val'} has classes that train lacks: {some(strange)}")
    found = {"train": train, "val": val}
    items = {split: sum(map(len, found[split].values())) for split in SPLITS}
    numbers = {f"{split} images": items[split] for split in SPLITS} | {"classes": len(train)}
    official = check_counts(numbers, OFFICIAL, subset)
    link(top / "train", out / "train")
    if flat:
        for name, files in val.items():
            for file in files:
                link(top / "val" / file, out / "val" / name / file)
    else:
        link(top / "val", out / "val")
    write_classes(out, _names(train, find_names(_beside(copy, top))))
    return {"items": items, "official": official}


def _beside(copy: Path, top: Path) -> list[Path]:
    """Return where files beside the images may lie; Kaggle has them three folders above."""
    return [copy, top, *(list(top.parents)[:3] if top.name == "CLS-LOC" else [])]


def _instead(folder: Path) -> str:
    """Say what a folder holds instead, if it is one of the usual mistakes."""
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if archives := [name for name in names if name.endswith((".tar", ".tar.gz", ".zip", ".tgz"))]:
        return f": archives are not unpacked, {some(archives)}"
    if images := [name for name in names if name.lower().endswith(END)]:
        return f": {some(images)} are not in folders of their classes"
    if nested := [name for name in names if name in SPLITS and (folder / name).is_dir()]:
        return f", but {' and '.join(nested)} in it"
    if any(name.endswith(".parquet") for name in names):
        return ": these are Parquet files, of which nothing is read here"
    return f", but {some(names)}" if names else ": it is empty"


def _by_class(folder: Path) -> dict[str, list[str]]:
    """Return the names of the images in each folder of a class, in order."""
    return {
        entry.name: sorted(
            file.name
            for file in entry.iterdir()
            if file.name.lower().endswith(END) and not file.name.startswith(".")
        )
        for entry in sorted(folder.iterdir())
        if CLASS.fullmatch(entry.name) and entry.is_dir()
    }


def _sorted_by_label(copy: Path, top: Path, classes: Iterable[str]) -> dict[str, list[str]]:
    """Return the images of a ``val`` without folders by the classes of train that they have."""
    files = sorted(
        file.name
        for file in (top / "val").iterdir()
        if file.name.lower().endswith(END) and not file.name.startswith(".")
    )
    if not files:
        raise PrepareError(f"{top / 'val'} has no image{_instead(top / 'val')}; {CARD.where}")
    labels = find_labels(_beside(copy, top))
    if labels is None:
        raise PrepareError(
            f"{top / 'val'} has {len(files)} images and no folders of classes, and nothing beside "
            "it says their classes: unpack ILSVRC2012_devkit_t12.tar.gz into "
            f"{copy}, or put Kaggle's LOC_val_solution.csv there"
        )
    if without := [name for name in files if name.partition(".")[0] not in labels]:
        raise PrepareError(f"no class is known of images of {top / 'val'}: {some(without)}")
    found: dict[str, list[str]] = {name: [] for name in classes}
    for name in files:
        # Of a part of ImageNet val may still be the whole one: what train lacks is left out.
        if (label := labels[name.partition(".")[0]]) in found:
            found[label].append(name)
    return found


def _names(classes: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return names of classes, the first of their synonyms; the number with it where two share one.

    ImageNet has two classes that are called crane, a bird and a machine.
    """
    short = {each: names.get(each, each).partition(",")[0].strip() for each in classes}
    often = list(short.values())
    return {
        each: name if often.count(name) == 1 else f"{name} ({each})" for each, name in short.items()
    }
