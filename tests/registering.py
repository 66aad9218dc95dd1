"""Registrations of a small grid, and what verdicts say of them."""

from __future__ import annotations

import json

import pandas as pd
from worlds import world

from analysis.registered.file import Entry
from analysis.registered.plan import plan
from analysis.registered.standing import registrations
from analysis.stats.claims import judge, load
from analysis.stats.group import groups
from study.grid.reading import load as load_grid

GRID = """\
# What self-attention needs.
task: translation
recipe: {data: software-en-de, width: 64}
product:
  mechanism: [none, "0111", "1111"]
  sites: [self]
seeds: [0, 1, 2]
baseline: none
"""
MINE = """\
claims:
  mine:
    statement: All four are better than nothing.
    source: us
    tasks: [translation]
    attention: self
    tests:
      - greater: {1111: 1, none: -1}
"""


def edit(path, *pairs):
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def runs_of(grid, *, finished="2026-06-01T00:00:00+00:00", **columns):
    """Completed runs of a grid, as the collected table has them."""
    means = {"none": 20.0, "0111": 25.0, "1111": 25.1}
    frames = []
    for run in load_grid(grid).runs():
        own = world({run.mechanism: means[run.mechanism] + run.seed / 10}, seeds=[run.seed])
        frames.append(
            own.assign(
                id=run.id,
                sites=".".join(run.sites),
                finished=finished,
                grid="g",
                data=run.data,
                recipe=json.dumps(run.science["recipe"], sort_keys=True),
                **columns,
            )
        )
    return pd.concat(frames, ignore_index=True)


def registered(grid, claims=None, date="2026-01-01T00:00:00+00:00", reason="", **more):
    """An entry as the verb would have made it on some day, before any run."""
    now = plan(load_grid(grid), claims or load())
    fields = {"commit": "", "dirty": False, "code": "0", "finished": 0, "begun": 0, "plan": now}
    return Entry(date=date, reason=reason, **(fields | more))


def told(grid, frame=None, claims=None):
    """What is said above verdicts on the runs of a grid, and the verdicts by claim."""
    frame = runs_of(grid) if frame is None else frame
    claims = claims or load()
    found = registrations([grid], claims, frame)
    return found.lines, {v.claim.id: v for v in found.marked(judge(groups(frame), claims))}
