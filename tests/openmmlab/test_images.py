"""An image that training would see otherwise than its user does is refused by name, or told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from plugins.contracts.dataset import PrepareError
from plugins.openmmlab.images import check_images

SIZE = (60, 40)
PIXELS = np.random.default_rng(0).integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8)
IMAGE = Image.fromarray(PIXELS)


def cut(path):
    IMAGE.save(path)
    path.write_bytes(path.read_bytes()[:-500])


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    IMAGE.save(path, exif=exif)


def deep(path):
    assert cv2.imwrite(str(path), PIXELS.astype(np.uint16) * 256)


def frames(path):
    IMAGE.save(path, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])


REFUSED = {
    "missing.png": (lambda path: None, "missing.png does not exist"),
    "folder.png": (lambda path: path.mkdir(), "folder.png is not a file"),
    "empty.png": (lambda path: path.touch(), "empty.png is an empty file"),
    "text.jpg": (lambda path: path.write_text("hello"), "text.jpg cannot be read as an image"),
    "cut.jpg": (cut, "cut.jpg cannot be read as an image .*truncated"),
    "cut.png": (cut, "cut.png cannot be read as an image .*truncated"),
    "turned.jpg": (turned, "turned.jpg has the EXIF orientation 6.*mogrify -auto-orient"),
    "turned.png": (turned, "turned.png has the EXIF orientation 6"),
    "turned.tif": (turned, "turned.tif has the EXIF orientation 6"),
    "deep.png": (deep, r"deep.png is no image of 8 bits a channel \(Pillow's mode RGB, 16 bits"),
    "deep.tif": (deep, "deep.tif is no image of 8 bits a channel"),
    "float.tif": (
        lambda path: Image.fromarray(PIXELS[..., 0].astype(np.float32)).save(path),
        "float.tif is no image of 8 bits a channel",
    ),
    "frames.gif": (frames, "frames.gif has 2 frames"),
    "frames.tif": (frames, "frames.tif has 2 frames"),
    "size.png": (lambda path: IMAGE.resize((9, 9)).save(path), "size.png has 9 x 9 pixels, its"),
    "swapped.png": (
        lambda path: IMAGE.resize((40, 60)).save(path), "width and height are swapped"
    ),
}  # fmt: skip
FINE = {
    "rgb.jpg": ("RGB", None),
    "rgb.webp": ("RGB", None),
    "grey.png": ("L", None),
    "palette.png": ("P", None),
    "bit.png": ("1", None),
    "alpha.png": ("RGBA", "with transparent pixels"),
    "cmyk.jpg": ("CMYK", "in CMYK"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_training_sees_otherwise_is_refused_by_name(tmp_path, name):
    make, message = REFUSED[name]
    make(tmp_path / name)
    IMAGE.save(tmp_path / "good.png")
    with pytest.raises(PrepareError, match=message):
        check_images([tmp_path / "good.png", tmp_path / name], [SIZE, SIZE])


@pytest.mark.parametrize("name", FINE)
def test_what_training_sees_as_its_user_is_accepted(tmp_path, name):
    mode, told = FINE[name]
    IMAGE.convert(mode).save(tmp_path / name)
    notes = check_images([tmp_path / name], [SIZE])
    assert ([told in note and name in note for note in notes] == [True]) if told else notes == ()


def test_images_of_one_fault_are_counted(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(5)]
    for path in paths:
        turned(path)
    with pytest.raises(PrepareError, match=r"0.jpg has .* The same of 4 \(1.jpg, 2.jpg, 3.jpg, "):
        check_images(paths)


def test_the_file_that_a_link_leads_to_is_named(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "mine/a.png")
    with pytest.raises(PrepareError, match=r"mine/a\.png is an empty file"):
        check_images([tmp_path / "link.png"])


def test_of_a_published_set_oddities_are_told_and_a_sample_is_decoded(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(300)]
    for path in paths:
        path.hardlink_to(paths[0]) if path != paths[0] else IMAGE.save(path)
    turned(tmp_path / "turned.jpg")
    (note,) = check_images([*paths, tmp_path / "turned.jpg"], whole=False)
    assert "1 (turned.jpg) with an EXIF orientation" in note
    cut(tmp_path / "cut.jpg")
    check_images([paths[0], tmp_path / "cut.jpg", *paths[1:]], whole=False)
    with pytest.raises(PrepareError, match=r"cut\.jpg cannot be read"):
        check_images([tmp_path / "cut.jpg", *paths], whole=False)
