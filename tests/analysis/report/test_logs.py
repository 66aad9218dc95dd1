"""Logs of any size and any bytes: what is kept, how it reads, where the errors are."""

from __future__ import annotations

import pytest

from analysis.report.logs import HEAD_BYTES, HEAD_LINES, TAIL_BYTES, TAIL_LINES, read, readable


def test_a_short_log_is_whole(tmp_path):
    path = tmp_path / "log"
    path.write_text("one\ntwo\n")
    log = read(path, "log")
    assert (log.head, log.tail, log.left_out) == ("one\ntwo\n", "", 0)


@pytest.mark.parametrize("width", [-7, 1, 73, 9_999, 3_000_000])
def test_a_long_log_keeps_its_ends_and_knows_its_line_numbers(tmp_path, width):
    path = tmp_path / "log"
    count = min(5_000_000 // (width + 8), 200_000)
    lines = [f"{n:07d}{'x' * width}"[: 7 + width] for n in range(1, count + 1)]
    path.write_text("\n".join(lines) + "\n")
    log = read(path, "log")
    assert log.size == path.stat().st_size
    assert len(log.head) <= HEAD_BYTES
    assert len(log.tail) <= TAIL_BYTES
    assert log.head.count("\n") <= HEAD_LINES
    assert log.tail.count("\n") <= TAIL_LINES
    assert len(log.head) + log.left_out + len(log.tail) == log.size
    assert log.head.startswith(lines[0][:7])
    assert len(log.tail) > 1000
    whole = "".join(line + "\n" for line in lines)
    assert whole.endswith(log.tail)
    # The number says which line the tail begins in, or with.
    before = whole[: log.size - len(log.tail)]
    assert log.resumes == before.count("\n") + 1


def test_text_reads_as_on_a_terminal():
    assert readable(b"\x1b[1;31mred\x1b[0m\x1b]0;title\x07 end") == "red end"
    assert readable(b" 10%\r 50%\r100%\nnext\r\n") == "100%\nnext\n"
    assert readable(b"a\x00b\x7fc\td") == "a\u2400b\u2421c\td"
    assert readable(b"caf\xc3") == "caf\ufffd"


def test_errors_are_what_was_raised_and_what_the_system_said(tmp_path):
    path = tmp_path / "log"
    path.write_text(
        "the error rate is 0.1\n"
        "Traceback (most recent call last):\n"
        '  File "a.py", line 1, in f\n'
        "    raise ValueError\n"
        "ValueError: no\n"
        "UserWarning: nothing\n"
        "slurmstepd: error: Detected 1 oom-kill event(s)\n"
        "2019 | ERROR | lost a worker\n"
        "Traceback (most recent call last):\n"
        '  File "a.py", line 9, in g\n'
    )
    assert read(path, "log").errors == (5, 7, 8, 9)
