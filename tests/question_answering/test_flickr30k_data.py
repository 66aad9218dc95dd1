"""A copy of Flickr30k Entities, with images or features of boxes, is checked and linked."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data import features
from plugins.question_answering.data.copies import flickr30k
from plugins.question_answering.data.copies.entities import Things, phrases_of, read_things
from plugins.question_answering.data.layout import read_phrases
from plugins.question_answering.data.sentences import words_of
from study import data

LISTS = {"train": ("1000", "1001", "1002"), "val": ("2000",), "test": ("3000",)}
SENTENCE = (
    "[/EN#1/people Two men] in [/EN#2/clothing/other red hats] near [/EN#3/scene a beach] "
    "hold [/EN#4/other it] , [/EN#0/notvisual who] smile .\n"
)
THINGS = """<annotation><filename>{image}.jpg</filename>
<size><width>100</width><height>80</height><depth>3</depth></size>
<object><name>1</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>21</xmax><ymax>41</ymax></bndbox>
</object>
<object><name>1</name><name>2</name>
<bndbox><xmin>51</xmin><ymin>11</ymin><xmax>71</xmax><ymax>41</ymax></bndbox></object>
<object><name>3</name><scene>1</scene><nobndbox>0</nobndbox></object>
<object><name>4</name><scene>0</scene><nobndbox>1</nobndbox></object>
</annotation>"""


@pytest.fixture
def copy(tmp_path) -> Path:
    top = tmp_path / "entities"
    for folder in ("Annotations", "Sentences", "flickr30k-images"):
        (top / folder).mkdir(parents=True)
    for split, images in LISTS.items():
        (top / f"{split}.txt").write_text("".join(f"{image}\n" for image in images))
        for image in images:
            (top / "Annotations" / f"{image}.xml").write_text(THINGS.format(image=image))
            (top / "Sentences" / f"{image}.txt").write_text(SENTENCE * 5)
            pixels = np.zeros((80, 100, 3), np.uint8)
            Image.fromarray(pixels).save(top / "flickr30k-images" / f"{image}.jpg")
    return top


BOXES = np.array([[0, 0, 22, 40], [10, 50, 90, 79]], np.float32)


def with_features(copy: Path, boxes: np.ndarray = BOXES, width: int = 8) -> None:
    shutil.rmtree(copy / "flickr30k-images")
    (copy / "features").mkdir()
    for image in sum(LISTS.values(), ()):
        values = np.full((len(boxes), width), float(image), np.float32)
        np.savez(copy / "features" / f"{image}.npz", features=values, boxes=boxes)


def prepared(copy: Path, out: Path, subset: bool = True) -> dict:
    out.mkdir()
    return flickr30k.prepare(copy, out, lambda doing: None, subset)


def test_phrases_with_boxes_are_kept_and_images_linked(copy, tmp_path):
    out = tmp_path / "out"
    counts = prepared(copy, out)
    assert counts == {
        "items": {"train": 30, "val": 10, "test": 10},
        "images": {"train": 3, "val": 1, "test": 1},
        "official": False,
    }
    men, hats, *_ = read_phrases(out, "val")
    assert (men.phrase, men.types, men.start) == ("Two men", ("people",), 0)
    assert (hats.phrase, hats.types, hats.start) == ("red hats", ("clothing", "other"), 3)
    assert men.sentence == hats.sentence == "Two men in red hats near a beach hold it , who smile ."
    assert men.sentence.split()[hats.start] == "red"
    # The annotation counts from 1, and the first thing has two boxes.
    assert men.boxes == ((0, 0, 20, 40), (50, 10, 20, 30))
    assert hats.boxes == ((50, 10, 20, 30),)
    assert men.image == "images/2000.jpg"
    assert (out / men.image).resolve() == copy / "flickr30k-images" / "2000.jpg"


@pytest.mark.parametrize(
    ("line", "start", "read"),
    [
        ("[/EN#1/people Two men] sit", 0, (["two", "men"], 0)),
        ('and "[/EN#1/people another man]" sit', 1, (["and", "another", "man"], 1)),
        ("a non-[/EN#1/people smoking man]", 1, (["a", "non", "smoking", "man"], 2)),
        ("men and [/EN#1/people men]", 2, (["men", "and", "men"], 2)),
    ],
)
def test_a_phrase_is_read_once_with_what_is_before_it(tmp_path, line, start, read):
    file = tmp_path / "1.txt"
    file.write_text(line)
    (phrase,) = phrases_of(file, "1.jpg", Things((10, 10), {"1": ((0, 0, 1, 1),)}))
    assert (phrase.start, words_of(phrase)) == (start, read)


def test_features_of_boxes_are_taken_instead_and_their_upper_bound_is_told(copy, tmp_path):
    with_features(copy)
    out = tmp_path / "out"
    counts = prepared(copy, out)
    # One of the two men is found, no hat.
    assert counts["upper_bound"] == {"val": 0.5, "test": 0.5}
    assert counts["width"] == 8
    phrase = read_phrases(out, "val")[0]
    assert phrase.image == "features/2000.npz"
    with features.open_features(out / "features") as opened:
        assert sorted(opened) == sorted(sum(LISTS.values(), ()))
        values, boxes = features.image_with_features(opened, phrase.image)
    assert values.tolist() == [[2000] * 8] * 2
    assert (boxes == BOXES).all()


def test_an_hdf5_file_is_read_as_groups_of_images():
    """An open HDF5 file is a mapping of mappings, as this one is."""
    opened = {"2000": {"features": np.ones((2, 8)), "boxes": BOXES}}
    values, boxes = features.image_with_features(opened, "features.h5/2000")
    assert values.shape == (2, 8)
    found = features.check_features(opened, Path("features.h5"), "2000", (100, 80), 8)
    assert (found[0] == boxes).all()


def test_an_hdf5_file_without_its_library_is_told(copy, tmp_path, monkeypatch):
    shutil.rmtree(copy / "flickr30k-images")
    (copy / "features.hdf5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(PrepareError, match="h5py is not installed: pip install h5py; or give a f"):
        prepared(copy, tmp_path / "out")


def test_a_part_is_refused_unless_it_is_meant(copy, tmp_path):
    with pytest.raises(PrepareError, match="3 train images, not 29783; 1 val images, not 1000; 1 "):
        prepared(copy, tmp_path / "out", subset=False)


def test_study_prepares_it(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    assert data.looks_like_copy("flickr30k", copy)
    (tmp_path / "data" / "VOC2007" / "Annotations").mkdir(parents=True)
    assert not data.looks_like_copy("flickr30k", tmp_path / "data")
    data.prepare_from("flickr30k", copy, subset=True)
    card = data.card("flickr30k")
    assert card["line"].endswith("30/10/10 phrases; not comparable with Flickr30k Entities")
    assert "Flickr's terms" in card["line"]


def test_a_broken_annotation_is_told(tmp_path):
    file = tmp_path / "1.xml"
    for text in ("<annotation>", "<annotation></annotation>"):
        file.write_text(text)
        with pytest.raises(PrepareError, match=r"1.xml is no annotation of Flickr30k Entities"):
            read_things(file)


def alter(name: str, before: str, after: str):
    def spoil(copy: Path) -> None:
        text = (copy / name).read_text()
        assert before in text
        (copy / name).write_text(text.replace(before, after))

    return spoil


def packed(copy: Path) -> None:
    shutil.rmtree(copy / "Annotations")
    (copy / "annotations.zip").touch()


def captions(copy: Path) -> None:
    shutil.rmtree(copy / "Annotations")
    (copy / "results_20130124.token").touch()


def tsv(copy: Path) -> None:
    shutil.rmtree(copy / "flickr30k-images")
    (copy / "trainval_36.tsv").touch()


def other_width(copy: Path) -> None:
    with_features(copy)
    np.savez(copy / "features" / "3000.npz", features=np.ones((2, 9)), boxes=BOXES)


def no_boxes(copy: Path) -> None:
    with_features(copy)
    np.savez(copy / "features" / "3000.npz", features=np.ones((2, 8)))


def not_a_number(copy: Path) -> None:
    with_features(copy)
    np.savez(copy / "features" / "3000.npz", features=np.full((2, 8), np.nan), boxes=BOXES)


MISTAKES = {
    "no folder": (shutil.rmtree, "entities does not exist; Flickr30k Entities is at https://"),
    "packed": (packed, r"has no Annotations: archives are not unpacked, 1 \(annotations.zip\)"),
    "captions alone": (captions, "has no Annotations: this is Flickr30k, sentences without boxes"),
    "no images": (
        lambda copy: shutil.rmtree(copy / "flickr30k-images"),
        r"has neither images \(flickr30k-images\) nor features \(features, features.h5\)",
    ),
    "a table of features": (tsv, "trainval_36.tsv is of a format that is not read here"),
    "an image is missing": (
        lambda copy: (copy / "flickr30k-images" / "1001.jpg").unlink(),
        r"flickr30k-images lacks images: 1 \(1001\)",
    ),
    "sentences are missing": (
        lambda copy: (copy / "Sentences" / "1001.txt").unlink(),
        r"Sentences lacks images of train.txt: 1 \(1001\)",
    ),
    "an image in two splits": (
        alter("val.txt", "2000", "1001"),
        r"images are in train.txt and val.txt of .*: 1 \(1001\)",
    ),
    "an open phrase": (
        alter("Sentences/2000.txt", "red hats]", "red hats"),
        "2000.txt, line 1: a marked phrase is not closed",
    ),
    "shares of the sides": (
        lambda copy: with_features(copy, BOXES / 100),
        "boxes of image 1000 are shares of its sides; pixels are meant",
    ),
    "width and height": (
        lambda copy: with_features(copy, np.array([[50, 40, 20, 30]])),
        r"a box of image 1000 ends before it begins: \[50, 40, 20, 30\]; left, top, right, bottom",
    ),
    "of another size": (
        lambda copy: with_features(copy, BOXES * 8),
        r"boxes of image 1000 reach \[720.0, 632.0\], and it has 100 x 80 pixels",
    ),
    "features of two widths": (other_width, "features of image 3000 have width 9, others 8"),
    "no boxes": (no_boxes, "features has no features and boxes of image 3000"),
    "not a number": (not_a_number, "image 3000 has values that are not finite"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told(copy, tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(PrepareError, match=message):
        prepared(copy, tmp_path / "out")
