"""Flickr30k Entities: sentences whose phrases are marked, and the boxes that they name.

Plummer et al., 2015, https://github.com/BryanPlummer/flickr30k_entities. An image has five
sentences in ``Sentences/ID.txt``, such as ::

    [/EN#283585/people A young girl] in [/EN#283587/clothing a pink dress] runs .

and ``Annotations/ID.xml`` with boxes of the numbered things. A thing may have several boxes, a box
several things, and some are a whole scene or have no box: their phrases are left out, as there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data.rows import Box, Phrase

__all__ = ["Things", "phrases_of", "read_things"]

PHRASE = re.compile(r"\[/EN#(\d+)/(\S+) ([^\]]*)\]")


class Things(NamedTuple):
    """What is to be seen in an image: its width and height, and the boxes by number."""

    size: tuple[int, int]
    boxes: dict[str, tuple[Box, ...]]


def read_things(file: Path) -> Things:
    """Return the boxes of an image.

    The annotation counts pixels from 1; one is subtracted, as the authors' parser in Python does
    and those of BAN and MDETR do not. Width and height are the difference of the corners.
    """
    try:
        root = ElementTree.parse(file).getroot()
        size = int(root.findtext("size/width", "")), int(root.findtext("size/height", ""))
        boxes: defaultdict[str, list[Box]] = defaultdict(list)
        for entry in root.iter("object"):
            for box in entry.iter("bndbox"):
                x0, y0, x1, y1 = (
                    int(box.findtext(side, "")) for side in ("xmin", "ymin", "xmax", "ymax")
                )
                for name in entry.iter("name"):
                    boxes[name.text or ""].append((x0 - 1, y0 - 1, x1 - x0, y1 - y0))
    except (ElementTree.ParseError, ValueError) as error:
        raise PrepareError(
            f"{file} is no annotation of Flickr30k Entities ({error}); unpack it again"
        ) from error
    return Things(size, {name: tuple(found) for name, found in boxes.items()})


def phrases_of(file: Path, image: str, things: Things) -> Iterator[Phrase]:
    """Yield the phrases of an image's sentences that name boxes.

    Raises
    ------
    PrepareError
        If a sentence has no closed brackets.
    """
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        sentence = PHRASE.sub(lambda match: match[3], line).strip()
        if "[" in sentence or "/EN#" in sentence:
            raise PrepareError(f"{file}, line {number}: a marked phrase is not closed: {line!r}")
        for match in PHRASE.finditer(line):
            if boxes := things.boxes.get(match[1]):
                before = PHRASE.sub(lambda each: each[3], line[: match.start()])
                joined = before[-1:].strip()  # such as a quotation mark, which is no word by itself
                yield Phrase(
                    image,
                    match[3],
                    boxes,
                    tuple(match[2].split("/")),
                    sentence,
                    len(before.split()) - bool(joined),
                )
