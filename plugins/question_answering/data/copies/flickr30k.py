"""Flickr30k Entities, phrases and the boxes that they name, from its user's copy.

::

    phrases/SPLIT.jsonl      train, val, test, of the phrases that have a box
    features                 -> COPY/features, a folder of npz files, or
    features.h5              -> COPY/features.h5, or without either
    images                   -> COPY/flickr30k-images
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from plugins.contracts.copies import CopyCard, check_counts, check_folder, link, some
from plugins.contracts.dataset import PrepareError, Source
from plugins.question_answering.data import features
from plugins.question_answering.data.copies.entities import Things, phrases_of, read_things
from plugins.question_answering.data.copies.reading import archives, find, find_features
from plugins.question_answering.data.layout import write_phrases
from plugins.question_answering.data.rows import Phrase

__all__ = ["CARD", "SOURCES", "prepare", "recognises"]

SOURCES: tuple[Source, ...] = ()

CARD = CopyCard(
    task="question_answering",
    content="phrases of sentences about photos, with boxes",
    licence="photos under Flickr's terms, for non-commercial research and education; annotations"
    " for the same",
    unit="phrases",
    benchmark="Flickr30k Entities",
    composed=False,
    in_domain=True,
    packages=(),
    notes=(
        "phrases without a box, and of whole scenes, are left out",
        "one is subtracted from the annotation's coordinates, as the authors do; copies of BAN and"
        " MDETR do not",
        "the fingerprint covers names and sizes of images and features, not their content",
    ),
    splits=("train", "val", "test"),
    where="Flickr30k Entities is at https://github.com/BryanPlummer/flickr30k_entities; unpack its"
    " annotations.zip, and put the images (form at https://shannon.cs.illinois.edu/DenotationGraph)"
    " as flickr30k-images, or features of boxes as features or features.h5, into the same folder",
)

SPLITS = ("train", "val", "test")
OUTPUTS = 20_000
"""About as many words as train has. Cost is counted with them until the set is prepared, and they
change parameters alone.
"""
OFFICIAL = {"train images": 29_783, "val images": 1_000, "test images": 1_000}
IMAGES = ("flickr30k-images", "flickr30k_images", "images")


class Shown(NamedTuple):
    """Where the images, or features, of a copy are, and as what they are linked."""

    path: Path
    name: str
    are_features: bool

    def place(self, image: str) -> str:
        """Return the path by which phrases name an image."""
        end = "" if self.name == features.FILE else ".npz" if self.are_features else ".jpg"
        return f"{self.name}/{image}{end}"


def recognises(folder: Path) -> bool:
    """Tell whether a folder looks like a copy of Flickr30k Entities, complete or not."""
    return folder.is_dir() and find(folder, "Sentences", IMAGES[0]) is not None


def prepare(copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False) -> dict:
    """Check a copy of Flickr30k Entities; write its phrases and links into `out`.

    Parameters
    ----------
    copy: Path
        The folder with ``Annotations``, ``Sentences``, the lists of splits, and images or features.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.
    subset: bool
        Whether the numbers of images may differ from those of the set.

    Returns
    -------
    dict
        ``items`` (phrases) and ``images`` of each split; with features their ``width`` and the
        ``upper_bound`` of val and test: the share of phrases that some box finds; ``official``:
        whether the numbers are those of the set.

    Raises
    ------
    PrepareError
        If the copy is not Flickr30k Entities, or not whole.
    """
    check_folder(copy, CARD)
    xml, sentences = (_part(copy, name) for name in ("Annotations", "Sentences"))
    listed = {split: _part(copy, f"{split}.txt").read_text().split() for split in SPLITS}
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if both := set(listed[one]) & set(listed[other]):
            raise PrepareError(f"images are in {one}.txt and {other}.txt of {copy}: {some(both)}")
    found = {f"{split} images": len(images) for split, images in listed.items()}
    official = check_counts(found, OFFICIAL, subset)
    shown = _shown(copy)
    things: dict[str, Things] = {}
    phrases = {}
    for split, images in listed.items():
        progress(f"reading the sentences of {split}")
        for folder, end in ((xml, ".xml"), (sentences, ".txt")):
            if missing := [each for each in images if not (folder / f"{each}{end}").is_file()]:
                raise PrepareError(f"{folder} lacks images of {split}.txt: {some(missing)}")
        things |= {image: read_things(xml / f"{image}.xml") for image in images}
        phrases[split] = [
            phrase
            for image in images
            for phrase in phrases_of(sentences / f"{image}.txt", shown.place(image), things[image])
        ]
        if not phrases[split]:
            raise PrepareError(f"no phrase of {split} in {sentences} has a box in {xml}")
    progress(f"looking at {shown.path.name}")
    counts = _check(shown, listed, things, phrases)
    link(shown.path, out / shown.name)
    return {
        "items": write_phrases(out, phrases),
        "images": {split: len(images) for split, images in listed.items()},
        **counts,
        "official": official,
    }


def _part(copy: Path, name: str) -> Path:
    if part := find(copy, name):
        return part
    hint = archives(copy)
    if (copy / "results_20130124.token").is_file() or find(copy, "dataset_flickr30k.json"):
        hint = ": this is Flickr30k, sentences without boxes"
    raise PrepareError(f"{copy} has no {name}{hint}; {CARD.where}")


def _shown(copy: Path) -> Shown:
    """Return the features of a copy, or, without any, its images."""
    if found := find_features(copy):
        return Shown(found, features.FOLDER if found.is_dir() else features.FILE, True)
    if found := find(copy, *IMAGES):
        # The archive of others has a folder of the same name in the folder.
        inner = found / found.name
        return Shown(inner if inner.is_dir() else found, "images", False)
    if found := next((each for each in copy.iterdir() if each.suffix in (".tsv", ".pkl")), None):
        raise PrepareError(
            f"{found} is of a format that is not read here; write features and boxes of each image "
            f"into {features.FOLDER}/NUMBER.npz, or into one {features.FILE}"
        )
    raise PrepareError(
        f"{copy} has neither images ({IMAGES[0]}) nor features ({features.FOLDER}, "
        f"{features.FILE}){archives(copy)}; {CARD.where}"
    )


def _check(
    shown: Shown,
    listed: Mapping[str, Sequence[str]],
    things: Mapping[str, Things],
    phrases: Mapping[str, Sequence[Phrase]],
) -> dict:
    """Raise PrepareError unless each image is there; of features return what can be reached."""
    if not shown.are_features:
        there = {each.stem for each in shown.path.glob("*.jpg")}
        if missing := things.keys() - there:
            raise PrepareError(f"{shown.path} lacks images: {some(missing)}; unpack it again")
        return {}
    boxes, width = {}, None
    with features.open_features(shown.path) as opened:
        for image, (size, _) in things.items():
            boxes[shown.place(image)], width = features.check_features(
                opened, shown.path, image, size, width
            )
    held_out = [split for split in listed if split != "train"]
    bounds = {split: round(_bound(phrases[split], boxes), 4) for split in held_out}
    return {"width": width, "upper_bound": bounds}


def _bound(phrases: Sequence[Phrase], boxes: Mapping[str, object]) -> float:
    """Return the share of phrases that some box finds."""
    import numpy as np

    from plugins.question_answering.metrics.grounding import Grounded, recall

    def grounded() -> Iterator[Grounded]:
        for phrase in phrases:
            targets = np.array(phrase.boxes, float)
            targets[:, 2:] += targets[:, :2]
            yield Grounded(np.asarray(boxes[phrase.image]), targets)

    return recall(grounded()).upper_bound
