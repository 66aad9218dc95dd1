"""What COCO's mAP is made of, image by image: pycocotools' matches, in the order of their scores.

Of a category's detections average precision needs the order alone, so that scores are not kept.
Imports no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plugins.contracts.items import ITEMS

if TYPE_CHECKING:
    import numpy as np

    from plugins.contracts.items import Arrays

    Array = np.ndarray[Any, Any]

__all__ = ["map_of_samples", "matches"]

DETECTIONS = 100  # of an image and a category that count
RECALLS = 101  # from 0 to 1, at which precision is read
AT_ONCE = 4_000_000  # detections times samples in memory


def matches(evaluation: Any) -> dict[str, Array]:
    """Return what pycocotools has matched on objects of any area.

    Parameters
    ----------
    evaluation: pycocotools.cocoeval.COCOeval
        After ``evaluate()``, of N images, K categories and T thresholds of IoU.

    Returns
    -------
    dict
        ``item``, ids of the images, (N,); ``category``, ids, (K,); ``boxes``, how many there are to
        find of each category in each image, (K, N); ``detections``, how many were made of each
        category, (K,). Of all D detections, category by category, the highest score first:
        ``image``, the index of the image, (D,); ``tied``, whether the one before is of the same
        image and has the same score, (D,); ``right`` and ``ignored``, at each threshold whether
        it counts as a hit, or does not count at all, (D, T / 8) bits. Both flags of `tied` and of
        these are as ``numpy.packbits`` makes them.
    """
    import numpy as np

    params = evaluation.params
    images, categories = list(params.imgIds), list(params.catIds)
    boxes = np.zeros((len(categories), len(images)), np.uint16)
    of_categories = []
    for k in range(len(categories)):
        # The first range of areas is that of all areas.
        first = k * len(params.areaRng) * len(images)
        # None where an image has neither a box nor a detection of the category.
        found = {
            i: each
            for i, each in enumerate(evaluation.evalImgs[first : first + len(images)])
            if each is not None
        }
        for i, each in found.items():
            boxes[k, i] = np.count_nonzero(np.asarray(each["gtIgnore"]) == 0)
        of_categories.append(_by_score(found, len(params.iouThrs)))
    image, tied, right, ignored = map(np.concatenate, zip(*of_categories, strict=True))
    return {
        ITEMS: np.asarray(images),
        "category": np.asarray(categories),
        "boxes": boxes,
        "detections": np.array([len(each[0]) for each in of_categories], np.uint32),
        "thresholds": np.asarray(len(params.iouThrs)),
        "image": image.astype(np.min_scalar_type(len(images))),
        "tied": np.packbits(tied),
        "right": np.packbits(right, axis=1),
        "ignored": np.packbits(ignored, axis=1),
    }


def _by_score(found: Mapping[int, Any], thresholds: int) -> tuple[Array, Array, Array, Array]:
    """Return image, tied, right and ignored of a category's detections, as in `matches`."""
    import numpy as np

    def joined(name: str) -> Array:
        parts = (each[name][:, :DETECTIONS] for each in found.values())
        return np.concatenate([np.zeros((thresholds, 0)), *parts], axis=1) != 0

    of_images = [each["dtScores"][:DETECTIONS] for each in found.values()]
    scores = np.concatenate([np.zeros(0), *of_images])
    image = np.repeat(np.array([*found], int), np.array([*map(len, of_images)], int))
    order = np.argsort(-scores, kind="mergesort")  # as pycocotools does
    scores, image = scores[order], image[order]
    tied = (np.diff(scores, prepend=np.nan) == 0) & (np.diff(image, prepend=-1) == 0)
    matched, ignored = joined("dtMatches")[:, order].T, joined("dtIgnore")[:, order].T
    return image, tied, matched & ~ignored, ignored


def map_of_samples(items: Arrays, weights: Array) -> Array:
    """Return COCO's mAP of each sample of images, in [0, 1]; see `CountsItems`.

    It is what pycocotools calculates of a set in which an image stands as often as the sample has
    it, in the order of the images, each beside its copies. NaN where a sample has no box.
    """
    import numpy as np

    thresholds = int(items["thresholds"])
    tied = np.unpackbits(items["tied"], count=len(items["image"])).astype(bool)
    flags = [
        np.unpackbits(items[name], axis=1, count=thresholds).astype(bool)
        for name in ("right", "ignored")
    ]
    ends = np.cumsum(items["detections"], dtype=int)
    total, categories = np.zeros(len(weights)), np.zeros(len(weights))
    for boxes, end, count in zip(items["boxes"], ends, items["detections"], strict=True):
        of_category = slice(end - int(count), end)
        image, right, ignored = (each[of_category] for each in (items["image"], *flags))
        many = max(1, AT_ONCE // max(1, int(count)))
        for start in range(0, len(weights), many):
            part = slice(start, start + many)
            to_find = weights[part] @ boxes.astype(int)
            index, shown = _repeated(weights[part].T, image, tied[of_category])
            found = _average_precision(shown, right[index], ignored[index], np.maximum(to_find, 1))
            total[part] += np.where(to_find > 0, found, 0)
            categories[part] += to_find > 0
    return total / np.where(categories > 0, categories, np.nan)


def _repeated(weights: Array, image: Array, tied: Array) -> tuple[Array, Array]:
    """Return the order in which detections come when images are repeated, (images, samples).

    Detections of one image with one score come as often as the image, in turns: a b a b. All
    others come in their order, and how often does not matter to the order.

    Returns
    -------
    index: numpy.ndarray
        Of the detections, with as many turns as any sample has.
    shown: numpy.ndarray
        How often each of them is there, (indices, samples).
    """
    import numpy as np

    starts = np.flatnonzero(~tied)
    length = np.diff(starts, append=len(tied))
    turns = np.where(length > 1, weights.max(initial=0), 1)
    first, of = (np.repeat(each, length * turns) for each in (starts, length))
    place = np.arange(len(of)) - np.repeat(
        np.cumsum(length * turns) - length * turns, length * turns
    )
    index = first + place % of
    shown = weights[image[index]].astype(np.int32)
    in_turns = of > 1
    shown[in_turns] = shown[in_turns] > (place // of)[in_turns, None]
    return index, shown


def _average_precision(shown: Array, right: Array, ignored: Array, boxes: Array) -> Array:
    """Return the mean over thresholds of the area under precision over recall, (samples,).

    Recall grows at hits alone, and precision up to the last copy of one, so that it is enough to
    look at these.

    Parameters
    ----------
    shown: numpy.ndarray
        How often each detection is there, (detections, samples), in the order of the scores.
    right, ignored: numpy.ndarray
        Flags, (detections, thresholds).
    boxes: numpy.ndarray
        How many are to be found, (samples,).
    """
    import numpy as np

    recalls = np.linspace(0, 1, RECALLS)
    all_shown = np.cumsum(shown, axis=0)
    areas = np.zeros(len(boxes))
    for hit, left_out in zip(right.T, ignored.T, strict=True):
        hits, without = np.flatnonzero(hit), np.flatnonzero(left_out)
        found = np.cumsum(shown[hits], axis=0)
        not_counted = np.cumsum(np.pad(shown[without], ((1, 0), (0, 0))), axis=0)
        counted = all_shown[hits] - not_counted[np.searchsorted(without, hits)]
        precision = found / (counted + np.spacing(1))
        best_from_here = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        reached = np.searchsorted(recalls, found / boxes, side="right")
        areas += (best_from_here * np.diff(reached, axis=0, prepend=0)).sum(axis=0) / RECALLS
    return areas / right.shape[1]
