"""From what is in a user's label images to the numbers of the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.contracts.copies import link
from plugins.contracts.dataset import PrepareError
from plugins.segmentation.data.labels import (
    colours_of,
    count,
    hint,
    open_label,
    used_palette,
)
from plugins.segmentation.data.layout import IGNORE

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = ["Numbers"]


class Numbers:
    """Turns what is in the labels into the numbers of the classes.

    Parameters
    ----------
    classes: sequence of str
        Their names.
    values: sequence of int
        The value of each; none: 0, 1, ... without those that mean no class.
    colours: sequence of str
        The colour of each, ``#rrggbb``, instead of values.
    ignore: sequence of int or str
        Values, or colours, that mean no class. 255 does anyway, unless it is a class.

    Raises
    ------
    PrepareError
        If these do not fit each other.
    """

    def __init__(
        self,
        classes: Sequence[str],
        values: Sequence[int] = (),
        colours: Sequence[str] = (),
        ignore: Sequence[int | str] = (),
    ) -> None:
        import numpy as np

        _check_fit(classes, values, colours, ignore)
        self.classes, self.coloured, self.said = classes, bool(colours), bool(values)
        if colours:
            given, none = ([int(str(each)[1:], 16) for each in side] for side in (colours, ignore))
        else:
            without = {IGNORE, *(int(each) for each in ignore)}
            free = (value for value in range(2**16) if value not in without)
            given = list(values) or [next(free) for _ in classes]
            none = list(without - {*given})
        number_of = dict(zip(given, range(len(classes)), strict=True))
        number_of |= dict.fromkeys(none, IGNORE)
        self.given = given
        self.keys = np.array(sorted(number_of))
        self.table = np.array([number_of[key] for key in sorted(number_of)], np.uint8)
        self.seen: Counter[int | float] = Counter()
        self.unknown: list[tuple[Path, int | float, int]] = []
        self.shown: dict[int, tuple[int, ...]] = {}

    def write(self, label: Path, place: Path) -> None:
        """Link a label if it is right as it is, or write it anew with the classes' numbers."""
        import numpy as np
        from PIL import Image

        image = open_label(label, str(label))
        values = self._values(label, image)
        at = np.minimum(np.searchsorted(self.keys, values), len(self.keys) - 1)
        known = self.keys[at] == values
        made = np.where(known, self.table[at], IGNORE).astype(np.uint8)
        found = count(values)
        self.seen.update(found)
        if not known.all():
            value = next(value for value in found if value not in self.keys)
            self.unknown.append((label, value, found[value]))
        elif image.format == "PNG" and image.mode in ("L", "P") and np.array_equal(made, values):
            link(label, place)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(made).save(place)

    def _values(self, label: Path, image: Image) -> np.ndarray[Any, Any]:
        """Return a number a pixel, (height, width): the value, or the colour as 0xRRGGBB."""
        import numpy as np

        if self.coloured:
            red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.int64), -1, 0)
            return red << 16 | green << 8 | blue
        values = np.asarray(image)
        if values.ndim == 3:
            bands = values[..., : 1 if image.mode == "LA" else 3]
            opaque = not image.mode.endswith("A") or values[..., -1].min() == 255
            if not opaque or (bands != bands[..., :1]).any():
                raise PrepareError(
                    f"{label} has {colours_of(image)}; say which colour each class has, in their "
                    "order: -o colours=#000000,... (and ignore=#... for no class)"
                )
            values = bands[..., 0]
        self._compare_colours(label, image)
        if values.dtype == bool:  # viewers show the 1 of such a file as 255
            return values * np.uint8(255 if 255 in self.given else 1)
        return values

    def _compare_colours(self, label: Path, image: Image) -> None:
        """Refuse palettes that differ: one number would stand for several colours."""
        for number, colour in used_palette(image).items():
            if self.shown.setdefault(number, colour) != colour and not self.said:
                told = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in (self.shown[number], colour)]
                raise PrepareError(
                    f"{label} shows the number {number} in {told[1]}, labels before it in "
                    f"{told[0]}: either the colours are the classes (-o colours=#...,...) or the "
                    f"numbers are (-o values={','.join(map(str, self.given))})"
                )

    def refuse_unknown(self) -> None:
        """Raise PrepareError if a value or a colour is neither a class nor none."""
        if not self.unknown:
            return
        label, value, pixels = self.unknown[0]
        more = f", and {len(self.unknown) - 1} labels are like it" * (len(self.unknown) > 1)
        if self.coloured:
            colours = [f"#{int(each):06x}" for each in self.seen if each not in self.keys]
            listed = ", ".join(colours[:8]) + (", ..." if len(colours) > 8 else "")
            raise PrepareError(
                f"{label} has the colour #{int(value):06x} in {pixels} pixels, which is of no "
                f"class{more}; {len(colours)} such colours occur: {listed}. Give them to a class, "
                "or to none: -o ignore=#..., or export the labels without smoothed edges"
            )
        told = ", ".join(f"{v} {name}" for v, name in zip(self.given, self.classes, strict=True))
        guess = hint(self.seen, len(self.classes))
        raise PrepareError(
            f"{label} has the value {value} in {pixels} pixels, which is neither a class ({told}) "
            f"nor none ({IGNORE}){more}; {guess}"
        )

    def palette(self, told: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Return a colour a class: as given, as a file says, as the labels show, or distinct."""
        if self.coloured:
            return [tuple(colour.to_bytes(3, "big")) for colour in self.given]
        shown = [self.shown[value] for value in self.given if value in self.shown]
        for colours in (list(told), shown):
            if len(colours) == len(self.classes) == len(set(colours)):
                return colours
        return [_distinct(number) for number in range(len(self.classes))]


def _check_fit(
    classes: Sequence[str],
    values: Sequence[int],
    colours: Sequence[str],
    ignore: Sequence[int | str],
) -> None:
    if values and colours:
        raise PrepareError("values and colours are both given; labels have one or the other")
    given: Sequence[int | str] = colours or values
    what = "colours" if colours else "values"
    if given and len(given) != len(classes):
        raise PrepareError(
            f"{what}={','.join(map(str, given))} are {len(given)}, but there are {len(classes)} "
            f"classes: {', '.join(classes)}"
        )
    if twice := {each for each in given if given.count(each) > 1}:
        raise PrepareError(f"{what} has {', '.join(map(str, twice))} twice")
    if both := {*given} & {*ignore}:
        raise PrepareError(f"ignore has {', '.join(map(str, both))}, which is a class")
    if any(isinstance(each, str) != bool(colours) for each in ignore):
        kind = "colours, as colours has" if colours else "numbers, as colours is not given"
        raise PrepareError(f"ignore={','.join(map(str, ignore))} must be {kind}")


def _distinct(number: int) -> tuple[int, ...]:
    """Return a colour of PASCAL VOC's map: bits of the number, spread over the channels."""
    colour = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            colour[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    return tuple(colour)
