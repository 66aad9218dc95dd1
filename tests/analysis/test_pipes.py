"""Pipe tables: what a cell holds begins no other cell."""

from __future__ import annotations

import re

from analysis.tables.pipes import pipes


def test_a_pipe_in_a_cell_is_escaped_and_the_columns_stay_aligned():
    lines = pipes(["a|b", "n"], [["x", "1"], ["y | z", "2"]]).splitlines()
    assert [re.split(r"(?<!\\)\|", line.strip("|"))[0].strip() for line in lines] == [
        *(r"a\|b", "------", "x", r"y \| z"),
    ]
    assert len({len(line) for line in lines}) == 1
