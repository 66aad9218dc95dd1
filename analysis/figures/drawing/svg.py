"""An SVG that follows the page it stands on, light or dark.

matplotlib writes each colour into a ``style``. Text, ticks and axes get ``currentColor`` here: in a
page that has the SVG inside, the colour of its own text. As an image the SVG goes by
``prefers-color-scheme``, which for an image is the page's ``color-scheme``. The colours of
mechanisms stay.
"""

from __future__ import annotations

import re

__all__ = ["adapted"]

INK, INK_IN_DARK = "#222222", "#dddddd"

INKS = ("#000000", "#222222", "#444444", "#555555", "#666666")
"""What is written or drawn in these takes the colour of the page's text."""

PALE = {"#dadada": "#444444", "#dddddd": "#444444", "#e6e6e6": "#333333", "#ffffff": "#1b1b1b"}
"""Lines, shades and edges of points, and what they are on a dark page."""

LIT = "g[id^='text_'] { filter: brightness(1.7) }"
"""Names in the colour of their points are inked for white paper."""


def adapted(text: str) -> str:
    """Return the text of an SVG file of matplotlib's, made to follow light and dark."""
    text = re.sub(rf"(fill|stroke): ({'|'.join(INKS)})\b", r"\1: currentColor", text)
    # What is black has no fill in its style: it inherits this one.
    text = text.replace("<svg ", f'<svg class="figure" fill="currentColor" color="{INK}" ', 1)
    rules = [f".figure {{ color: {INK_IN_DARK} }}", f".figure {LIT}"]
    # Without .figure before them, or they miss what stands in <use>, as points do.
    for light, dark in PALE.items():
        for part in ("fill", "stroke"):
            rules.append(f'[style*="{part}: {light}"] {{ {part}: {dark} !important }}')
    sheet = "\n".join(["@media (prefers-color-scheme: dark) {", *rules, "}"])
    return text.replace("</style>", f"\n{sheet}</style>", 1)
