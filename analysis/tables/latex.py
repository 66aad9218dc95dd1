"""LaTeX tables, with the rules of booktabs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from analysis.stats.group import Group
from analysis.tables.columns import columns

__all__ = ["HEAD", "booktabs", "latex"]

HEAD = "% needs \\usepackage{booktabs} and \\usepackage{graphicx}\n"
"""A comment, to begin a file with."""

# A table is shrunk to the width of the text, but a narrow one is not blown up to it.
WIDTH = r"\ifdim\width>\linewidth\linewidth\else\width\fi"

BREAK = "\N{ZERO WIDTH SPACE}"
LONG = re.compile(r"\S{25,}")  # a URL or a list without spaces: may be broken within

# What pdflatex cannot set from Unicode in its default encoding, or sets as something else.
SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "[": "{[}",  # after a line's end it would be taken for an amount of space
    "→": r"$\to$",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "−": r"$-$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "’": "'",
    "\N{NO-BREAK SPACE}": "~",
    BREAK: r"\allowbreak{}",
}
NOT_IN_OT1 = "«»ÐÞðþ"


def latex(groups: Sequence[Group]) -> str:
    """Render ``table`` floats; the document needs the packages booktabs and graphicx."""
    shown = [columns(group) for group in groups]
    return HEAD + "\n".join(
        booktabs(group.title, list(frame.columns), frame.to_numpy().tolist(), group.notes)
        for group, frame in zip(groups, shown, strict=True)
    )


def booktabs(
    title: str,
    header: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
) -> str:
    """Render one ``table`` float: first column to the left, others to the right, notes below.

    Parameters
    ----------
    title: str
        The caption.
    header: sequence of (str, str)
        Of each column the heading that it shares with its neighbours, or nothing, and its own.
    rows: sequence of sequences of str
        The cells.
    notes: sequence of str
        Sentences.
    """
    body = [
        r"\toprule",
        *_header(header),
        r"\midrule",
        *(_line([_text(text) for text in row]) for row in rows),
        r"\bottomrule",
    ]
    lines = "".join(f"{line}\n" for line in body)
    below = "".join(f"{_text(note.rstrip('.'))}.\\par\n" for note in notes)
    return (
        "\\begin{table}\n\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}\n"
        f"\\caption{{{_text(title)}}}\\smallskip\n"
        f"\\resizebox{{{WIDTH}}}{{!}}{{%\n"
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}\n{lines}\\end{{tabular}}}}\n"
        f"\\par\\medskip\\raggedright\\scriptsize\n{below}\\end{{table}}\n"
    )


def _header(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """One or two lines of headers; a rule binds the columns of a shared heading together."""
    above, below, rules = [], [], []
    start = 1
    for heading, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        names = [name for _, name in group]
        if heading:
            above.append(f"\\multicolumn{{{len(names)}}}{{c}}{{{_text(heading)}}}")
            rules.append(f"\\cmidrule(lr){{{start}-{start + len(names) - 1}}}")
        else:
            above += [""] * len(names)
        below += [_stacked(name or "mean") for name in names]
        start += len(names)
    return [_line(above), "".join(rules), _line(below)] if rules else [_line(below)]


def _stacked(name: str) -> str:
    """A unit, or what follows a comma, stands on a line of its own: width is scarce."""
    parts = [_text(part) for part in re.split(r"(?<=,) | (?=\()", name)]
    if len(parts) == 1:
        return parts[0]
    return "\\shortstack[r]{" + r" \\ ".join(parts) + "}"


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _text(text: str) -> str:
    text = re.sub(r"(?<!\S)-(?=\d)", "−", text)  # a minus, not a hyphen
    marked = LONG.sub(lambda word: re.sub(r"([/._=,;-])(?=.)", rf"\1{BREAK}", word[0]), text)
    return "".join(_sign(sign) for sign in marked).replace("--", "-{}-")


def _sign(sign: str) -> str:
    if sign in SIGNS:
        return SIGNS[sign]
    known = sign.isascii() or (sign <= "ÿ" and sign not in NOT_IN_OT1)
    return sign if known else f"(U+{ord(sign):04X})"
