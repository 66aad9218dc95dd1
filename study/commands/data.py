"""``study data``: the data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from study.commands.complete import doors
from study.units import size

app = typer.Typer(help="Data sets and pretrained weights: get and list them.", no_args_is_help=True)

Root = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the data sets.", show_default="$STUDY_DATA, else in the user's cache"
    ),
]


@app.command("prepare")
def prepare(
    names: Annotated[list[str] | None, typer.Argument(help="Names of data sets.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that can be downloaded.")] = False,
    copy: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Your copy of a set that cannot be downloaded. It is only read, and must stay.",
        ),
    ] = None,
    subset: Annotated[
        bool, typer.Option("--subset", help="With --from: a part of the published set is meant.")
    ] = False,
    root: Root = None,
) -> None:
    """Prepare data sets; what is there already is left alone.

    Embedded sets are downloaded. COCO, Cityscapes, WMT14, ImageNet, CUB, VQA v2, VQA-CP v2, CLEVR
    and Flickr30k are prepared from your copy: study data prepare coco --from DIR. Files of your
    own: study data add.
    """
    from study import data
    from study.errors import StudyError

    known = data.names(root)
    if not names and not every:
        raise StudyError(f"name data sets to prepare, or use --all; valid: {', '.join(known)}")
    wanted = data.embedded() if every else list(names or [])
    if copy is None and root and len(wanted) == 1 and data.looks_like_copy(wanted[0], root):
        # A folder of prepared sets looks different, so this folder must be a copy.
        typer.echo(f"{wanted[0]}: {root} is a copy of it; read as --from {root}", err=True)
        copy, root = root, None
    if copy is None:
        if subset:
            raise StudyError("--subset says what a copy is: give the copy with --from DIR")
        data.prepare(wanted, root)
    elif every or len(wanted) != 1:
        raise StudyError("--from DIR is the copy of one data set: name that one")
    else:
        data.prepare_from(wanted[0], copy, root, subset=subset)


@app.command("add")
def add(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            autocompletion=doors,
            help="boxes, images, masks or sentences.",
        ),
    ],
    name: Annotated[str, typer.Argument(help="What the set shall be called.")],
    copy: Annotated[
        Path,
        typer.Option(
            "--from", metavar="DIR", help="Your files; they are only read, and must stay."
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="KEY=VALUE; docs/your-KIND.md has the keys."),
    ] = None,
    root: Root = None,
) -> None:
    """Make a data set of files of your own, for a grid's recipe: {data: NAME}.

    A COCO file and images are boxes; a folder of images a class is images; images and label images
    are masks; two text files are sentences.
    """
    from study import data

    data.add(kind, name, copy, option or (), root)


@app.command("weights")
def weights(
    grids: Annotated[list[Path], typer.Argument(help="Grid files, or folders of them.")],
) -> None:
    """Fetch the pretrained weights that grids start from; what is there already is left alone.

    They go into torch's cache, $TORCH_HOME/hub/checkpoints. study run and study submit fetch them
    too: this is for a machine with a network, before one without.
    """
    from study.commands.select import runs_of
    from study.data import weights

    files = weights.needed(run.science for run in runs_of(grids))
    weights.fetch(files, grids, typer.echo)
    for file in files:
        typer.echo(f"{file.name}: {file.path}")
    if not files:
        typer.echo("these grids start from no pretrained weights")


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    root: Root = None,
) -> None:
    """List the data sets, what they are made of, and whether they are prepared."""
    from study import data

    rows = data.overview(root)
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.table import Table

    from study.screen import Screen

    table = Table("name", "task", "prepared", "download", "what it is", box=None)
    for row in rows:
        download = row["download_bytes"]
        told = "your copy" if download is None else size(download)
        ready = "yes" if row["prepared"] else "no"
        table.add_row(row["name"], row["task"], ready, told, row["line"])
    Screen().table(table)
