"""Find the annotation files and the images in a folder that somebody else has arranged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from plugins.contracts.copies import some
from plugins.contracts.dataset import PrepareError

__all__ = ["find_files", "find_images"]

NAMES = {"train": ("train",), "val": ("val", "valid", "validation")}
PLACES = (
    "annotations/{}.json",
    "annotations/instances_{}*.json",
    "instances_{}*.json",
    "{}.json",
    "{}/_annotations.coco.json",  # Roboflow
    "{}/{}.json",
    "annotations/{}/*.json",
    "{}/*.json",
)


def find_files(folder: Path, train: str, val: str, one: bool) -> dict[str, Path]:
    """Return the annotation file of train, and that of val unless `one` file has both.

    Parameters
    ----------
    folder: Path
        The user's.
    train, val: str
        Files that the user names, in the folder or anywhere; empty where they are to be found.
    one: bool
        Whether there is one file, of which a part becomes val.

    Raises
    ------
    PrepareError
        If a file is not found, or several may be meant.
    """
    if not folder.is_dir():
        raise PrepareError(f"{folder} {'is not a folder' if folder.exists() else 'does not exist'}")
    if one:
        return {"train": _named(folder, train) if train else _only(folder)}
    return {
        split: _named(folder, given) if given else _found(folder, split)
        for split, given in (("train", train), ("val", val))
    }


def _named(folder: Path, name: str) -> Path:
    file = folder / Path(name).expanduser()
    if not file.is_file():
        raise PrepareError(f"{file} does not exist; name a file in {folder}, or a whole path")
    return file


def _found(folder: Path, split: str) -> Path:
    patterns = [place.format(name, name) for name in NAMES[split] for place in PLACES]
    for pattern in patterns:
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        if len(files) > 1:
            raise PrepareError(f"{_several(folder, files)}; say which: -o {split}=FILE")
        if files:
            return files[0]
    looked = ", ".join(place.format(NAMES[split][0], NAMES[split][0]) for place in PLACES[:5])
    there = sorted(path for pattern in ("*.json", "*/*.json") for path in folder.glob(pattern))
    has = f"; it has {_several(folder, there)}" if there else "; it has no .json file"
    raise PrepareError(
        f"{folder} has no annotation file of {split}: looked for {looked} and the like{has}. Name "
        f"it: -o {split}=FILE; or, if one file has all images: -o val_share=0.2"
    )


def _only(folder: Path) -> Path:
    files = [path for pattern in ("*.json", "*/*.json") for path in sorted(folder.glob(pattern))]
    if len(files) != 1:
        found = _several(folder, files) if files else "no .json file"
        raise PrepareError(
            f"val_share divides one annotation file, and {folder} has {found}; name the one that "
            "is meant: -o train=FILE"
        )
    return files[0]


def _several(folder: Path, files: Iterable[Path]) -> str:
    return some(path.relative_to(folder).as_posix() for path in files)


def find_images(
    folder: Path, file: Path, split: str, names: list[str], given: str
) -> dict[str, Path]:
    """Return where each image of an annotation file lies.

    Parameters
    ----------
    folder: Path
        The user's.
    file: Path
        The annotation file.
    split: str
        train or val.
    names: list of str
        The ``file_name`` of the images.
    given: str
        The folder of images, or of their folders, that the user names; empty if it is to be found.

    Raises
    ------
    PrepareError
        If no folder has all of them. It names those that are missing from the best one.
    """
    # instances_train2017.json goes with train2017.
    own = (*NAMES[split], file.stem.removeprefix("instances_"))
    if given:
        top = folder / Path(given).expanduser()
        if not top.is_dir():
            raise PrepareError(f"{top} is no folder of images; -o images=DIR names one")
        places = [top, *(top / name for name in own)]
    else:
        tops = (folder, folder / "images", folder / "data", file.parent)
        places = [folder / "images", *(top / name for top in tops for name in own), *tops]
        places += [folder / name / "images" for name in own]
    best: dict[str, Path] = {}
    where = places[0]
    for place in dict.fromkeys(places):
        found = {name: place / name for name in names if (place / name).is_file()}
        if len(found) == len(names):
            return found
        if len(found) > len(best):
            best, where = found, place
    missing = some(set(names) - best.keys())
    looked = (
        f"the best folder is {where}" if best else f"looked in {_several_places(folder, places)}"
    )
    raise PrepareError(
        f"images of {file} are missing: {missing} of {len(names)}; {looked}. Name the folder that "
        "each file_name is in: -o images=DIR"
    )


def _several_places(folder: Path, places: list[Path]) -> str:
    there = [place for place in dict.fromkeys(places) if place.is_dir()]
    return ", ".join(str(place) for place in there[:4]) or str(folder)
