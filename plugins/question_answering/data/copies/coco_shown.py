"""What a copy shows of the photos of COCO 2014 that questions are about: images, features, or both.

Of both, images may lack features; of features alone all must be there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.contracts.copies import link, readable_image, some
from plugins.contracts.dataset import PrepareError
from plugins.openmmlab.images import spread
from plugins.question_answering.data import features
from plugins.question_answering.data.copies.coco_questions import IMAGES, image_folder
from plugins.question_answering.data.copies.reading import check_images, find, find_features
from plugins.question_answering.data.rows import Question

__all__ = ["Shown", "shown"]


@dataclass(frozen=True)
class Shown:
    """Where the images and the features of a copy are.

    Parameters
    ----------
    folders: mapping of str to Path
        Those of the images of train2014 and val2014; empty if there are features alone.
    features: Path, optional
        A folder or a file.
    """

    folders: Mapping[str, Path]
    features: Path | None

    def check(self, questions: Iterable[Question]) -> dict[str, Any]:
        """Return what the card says of features.

        Raises
        ------
        PrepareError
            If an image that is asked about has neither a file nor features, or features are not
            what they should be. 100 images are looked into.
        """
        asked = list(dict.fromkeys(question.image for question in questions))
        check_images(asked, [(f"images/{name}/", path) for name, path in self.folders.items()])
        return {} if self.features is None else self._check_features(self.features, asked)

    def _check_features(self, path: Path, asked: Collection[str]) -> dict[str, Any]:
        width = None
        with features.open_features(path) as opened:
            there = set(opened)
            found = [image for image in asked if Path(image).stem in there]
            if not found:
                raise PrepareError(
                    f"{path} has features of no image that is asked about, but of {some(there)};"
                    " they are to be named as their images are, such as"
                    f" {Path(next(iter(asked))).stem}"
                )
            if len(found) < len(asked) and not self.folders:
                lacking = (Path(image).stem for image in asked if Path(image).stem not in there)
                raise PrepareError(
                    f"{path} lacks images that are asked about: {some(lacking)}; where it does, the"
                    f" folders {' and '.join(IMAGES)} must be in the copy"
                )
            for number in sorted(spread(len(found))):
                stem = Path(found[number]).stem
                size = self._size(found[number])
                _, width = features.check_features(opened, path, stem, size, width)
        told = f"{len(found):,} of {len(asked):,} images have features of boxes, {width} to each"
        alone = () if self.folders else ("there are no images, so network features alone sees it",)
        counts = {"images": len(found), "of": len(asked), "width": width}
        return {"features": counts, "notes": (told, *alone)}

    def _size(self, image: str) -> tuple[int, int] | None:
        """Return width and height of an image, if there is its file."""
        from PIL import Image

        _, folder, name = image.split("/")
        if folder not in self.folders:
            return None
        path = self.folders[folder] / name
        with readable_image(path), Image.open(path) as opened:
            return opened.size

    def link(self, out: Path) -> None:
        """Link everything into a prepared set."""
        for name, folder in self.folders.items():
            link(folder, out / "images" / name)
        if self.features is not None:
            name = features.FOLDER if self.features.is_dir() else features.FILE
            link(self.features, out / name)


def shown(copy: Path, where: str) -> Shown:
    """Find the images and the features of a copy.

    Raises
    ------
    PrepareError
        If there are neither, or images of one split alone.
    """
    found = find_features(copy)
    if found is not None and not any(find(copy, name) for name in IMAGES):
        return Shown({}, found)
    return Shown({name: image_folder(copy, name, where) for name in IMAGES}, found)
