"""A report as one file, to mail: all pages in it, each shown when it is asked for.

The file holds the ``main`` part of each page as a template, all styles, scripts, data and figures.
A script shows the page that the address names behind its ``#!``. What is left out are logs, and the
figures' other formats.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import posixpath
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from analysis.report.build import Built, Edition, build
from analysis.report.front.overview import Selection
from analysis.report.pages import page
from analysis.stats.claims import Claim
from study.files import write_text

__all__ = ["write"]

OPENING, CLOSING = '<main id="main" tabindex="-1">', "</main>"
SCRIPTS = {
    "runs.html": ("scatter.js", "table.js"),
    "compare.html": ("compare.js",),
    "runs/": ("log.js", "run.js"),
}
"""Which scripts each page has of its own; those of ``runs/`` are for the page of every run."""

TYPES = {".svg": "image/svg+xml", ".yaml": "text/plain"}
ADDRESS = re.compile(r'(?<=[ "])(href|src)="([^"#:]+)(#[^"]*)?"')


def write(
    selections: Sequence[Selection],
    file: Path,
    claims: Sequence[Claim] | None = None,
    tell: Callable[[str], object] = str,
) -> Built:
    """Build a report and write it as one file.

    Parameters
    ----------
    selections, claims
        As for `analysis.report.build.build`, which also says what it raises.
    file: Path
        Is replaced.
    tell: callable
        Is told what is being done.
    """
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "report"
        edition = Edition(single=True, tell=tell)
        built = build(selections, site, claims, edition)
        tell("putting all into one file")
        write_text(file, _bundled(site))
    return replace(built, index=file)


def _bundled(site: Path) -> str:
    index = (site / "index.html").read_text(encoding="utf-8")
    title = index.partition("<title>")[2].partition("</title>")[0]
    footer = index.partition("<footer>")[2].partition("</footer>")[0]
    pages = {}
    for path in [site / "index.html", site / "runs.html", site / "compare.html",
                 *sorted((site / "runs").glob("*.html"))]:  # fmt: skip
        name = path.relative_to(site).as_posix()
        main = path.read_text(encoding="utf-8").partition(OPENING)[2].partition(CLOSING)[0]
        pages[name] = ADDRESS.sub(functools.partial(_inlined, site=site, at=name), main)
    static = {p.name: p.read_text(encoding="utf-8") for p in (site / "static").iterdir()}
    own = "".join(
        f"study.pages[{name!r}] = () => {{\n{''.join(static[each] for each in scripts)}}};\n"
        for name, scripts in SCRIPTS.items()
    )
    data = [(site / "runs.js").read_text(encoding="utf-8")]
    data += [p.read_text(encoding="utf-8") for p in sorted((site / "runs").glob("*.js"))]
    shared = static["common.js"] + static["chart.js"]
    code = {
        "theme": static["theme.js"],
        "all": f"{shared}{''.join(data)}{own}{static['single.js']}",
    }
    style = static["report.css"]
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {' '.join(map(_hash, code.values()))}"
    )
    return page(
        "single", title=title, footer=footer, pages=pages, code=code, style=style, rules=policy
    )


def _inlined(match: re.Match[str], site: Path, at: str) -> str:
    """Return an address within the report as one within the file, or as the content itself."""
    attribute, path, rest = match[1], match[2], match[3] or ""
    name = posixpath.normpath(posixpath.join(posixpath.dirname(at), path))
    file = site / unquote(name)
    if file.suffix in TYPES and file.is_file():
        content = base64.b64encode(file.read_bytes()).decode()
        return f'{attribute}="data:{TYPES[file.suffix]};base64,{content}"'
    return f'{attribute}="#!{name}{rest}"'


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
