"""Summaries as Markdown, CSV or LaTeX: one table per (task, data, sites).

Markdown and LaTeX are for people: columns share a unit that their header names, and ``-`` stands
for a number that does not exist. CSV is for programs: all tables in one, unrounded numbers in base
units (MACs, parameters, seconds, bytes), empty where there is none. The notes follow the table as
a list (Markdown), as a paragraph (LaTeX), or precede everything as lines that start with ``# ``
(CSV; ``pandas.read_csv(..., comment="#")`` skips them).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from analysis.summary import Summary

__all__ = ["RENDERERS", "csv", "latex", "markdown"]

ABSENT = "-"

SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))

# What pdflatex cannot set from Unicode in its default encoding, or sets only with extra packages.
LATEX_SIGNS = str.maketrans(
    {
        "→": r"$\to$",
        "±": r"$\pm$",
        "Δ": r"$\Delta$",
        "×": r"$\times$",
        "·": r"$\cdot$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "–": "--",
        "—": "---",
        "…": r"\ldots{}",
    }
)
LATEX_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


def markdown(summaries: Sequence[Summary]) -> str:
    """Render pipe tables, each under a heading and above its notes."""
    return "\n".join(_markdown(summary) for summary in summaries)


def csv(summaries: Sequence[Summary]) -> str:
    """Render one CSV of all summaries: their rows after task, data, sites, variant and metric."""
    comments = [f"# {s.title}: {note}\n" for s in summaries for note in s.notes]
    frames = []
    for s in summaries:
        place = {"task": s.task, "data": s.data, "sites": s.sites, "variant": s.variant}
        frames.append(s.rows.assign(**place, metric=s.metric, baseline=s.baseline))
    front = ["task", "data", "sites", "variant", "metric", "baseline"]
    whole = pd.concat(frames).set_index(front)
    return "".join(comments) + whole.to_csv(lineterminator="\n", float_format="%.15g")


def latex(summaries: Sequence[Summary]) -> str:
    """Render ``table`` floats; the document needs the packages booktabs and graphicx."""
    head = "% needs \\usepackage{booktabs} and \\usepackage{graphicx}\n"
    return head + "\n".join(_latex(summary) for summary in summaries)


RENDERERS: dict[str, Callable[[Sequence[Summary]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "latex": latex,
}


def _markdown(summary: Summary) -> str:
    shown = _shown(summary)
    widths = [max(map(len, [name, *shown[name], "--:"])) for name in shown]
    rule = [w * "-" if i == 0 else (w - 1) * "-" + ":" for i, w in enumerate(widths)]

    def line(values: Sequence[str]) -> str:
        padded = [
            v.ljust(w) if i == 0 else v.rjust(w)
            for i, (v, w) in enumerate(zip(values, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |\n"

    body = "".join(line(row) for row in [list(shown), rule, *shown.to_numpy().tolist()])
    notes = "".join(f"- {note}\n" for note in summary.notes)
    return f"### {summary.title}\n\n{body}\n{notes}"


def _latex(summary: Summary) -> str:
    shown = _shown(summary)
    tabular = shown.to_latex(
        index=False, escape=True, column_format="l" + "r" * (shown.shape[1] - 1)
    )
    notes = "".join(f"{_escaped(note)}.\\par\n" for note in summary.notes)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_escaped(summary.title)}}}\n"
        f"\\resizebox{{\\linewidth}}{{!}}{{%\n{tabular.strip().translate(LATEX_SIGNS)}}}\n"
        f"\\par\\medskip\\raggedright\\footnotesize\n{notes}\\end{{table}}\n"
    )


def _escaped(text: str) -> str:
    return text.translate(LATEX_SPECIAL).translate(LATEX_SIGNS)


def _shown(summary: Summary) -> pd.DataFrame:
    """The rows as text: rounded, scaled, and with headers that name metric and units."""
    rows, baseline = summary.rows, summary.baseline
    # Fractions need a third decimal to show what BLEU shows with two.
    places = 3 if not rows["mean"].max() > 1 else 2
    shown = {
        "mechanism": rows["mechanism"],
        "n": rows["n"].astype(str),
        summary.metric or "metric": _fixed(rows["mean"], places),
        "± 95 %": _fixed(rows["half_width"], places),
    }
    if baseline is not None:
        differences = [
            "baseline" if mechanism == baseline else text
            for mechanism, text in zip(
                rows["mechanism"], _fixed(rows["difference"], places, sign="+"), strict=True
            )
        ]
        shown[f"Δ {baseline}"] = differences
    shown["untrained"] = _fixed(rows["untrained"], places)
    first, last = _fixed(rows["loss_first"], 3), _fixed(rows["loss_last"], 3)
    shown["loss"] = [
        ABSENT if (a, b) == (ABSENT, ABSENT) else f"{a} → {b}"
        for a, b in zip(first, last, strict=True)
    ]
    for name, title, unit in (
        ("model_macs", "MACs", ""),
        ("mechanism_macs", "mechanism MACs", ""),
        ("model_parameters", "parameters", ""),
        ("mechanism_parameters", "mechanism parameters", ""),
        ("peak_memory_bytes", "peak memory", "B"),
    ):
        scale, prefix = _scale(rows[name])
        header = f"{title} ({prefix}{unit})" if prefix + unit else title
        shown[header] = _fixed(rows[name] / scale, 2 if prefix else 0)
    shown["seconds"] = _fixed(rows["seconds"], 0 if rows["seconds"].max() >= 100 else 1)
    return pd.DataFrame(shown)


def _fixed(values: pd.Series, places: int, sign: str = "") -> list[str]:
    return [ABSENT if math.isnan(v) else f"{v:{sign}.{places}f}" for v in values]


def _scale(values: pd.Series) -> tuple[float, str]:
    """The largest unit in which two decimals still tell the smallest number from zero."""
    smallest = values[values > 0].min()
    return next(((s, p) for s, p in SCALES if smallest >= s / 10), (1.0, ""))
