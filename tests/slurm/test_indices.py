"""Every line of `squeue` and `sacct` is about the tasks that Slurm means by it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from study.launch.slurm import queue as module
from study.launch.slurm.indices import parse, write
from study.launch.slurm.queue import Queue
from study.launch.slurm.words import CAUSES, NOBODYS

TOKEN = "study-0123456789ab"
ENDED = [state for state in CAUSES if state != NOBODYS]


@st.composite
def parts(draw):
    """A part of a list, and its indices by the rules of ``sbatch --array``, counted one by one."""
    first = draw(st.integers(0, 50))
    last = first + draw(st.integers(0, 30))
    step = draw(st.integers(1, 5))
    kind = draw(st.sampled_from(["single", "range", "steps"]))
    if kind == "single":
        return str(first), [first]
    members, index = [], first
    while index <= last:
        members.append(index)
        index += 1 if kind == "range" else step
    return f"{first}-{last}" + (f":{step}" if kind == "steps" else ""), members


@st.composite
def lists(draw):
    """A list, whether it was cut, and its indices."""
    chosen = draw(st.lists(parts(), min_size=1, max_size=4))
    text = ",".join(text for text, _ in chosen)
    cut = draw(st.booleans())
    text += ",..." if cut else ""
    text += draw(st.sampled_from(["", "%1", "%12"]))
    members = {index for _, each in chosen for index in each}
    return draw(st.sampled_from([text, f"[{text}]"])), cut, members


@given(lists())
def test_a_list_names_what_sbatch_would_make_of_it(given_):
    text, cut, members = given_
    found = parse(text)
    assert {*found.listed} == members
    assert found.onwards == (max(members) + 1 if cut else None)


@given(st.sets(st.integers(0, 200), min_size=1))
def test_what_is_written_is_read_again(members):
    assert {*parse(write(members)).listed} == members
    assert {*parse(f"[{write(members)}]").listed} == members


@given(st.text(alphabet="0123456789[],-:%.N/A ", max_size=12))
def test_no_text_is_a_crash(text):
    assert all(index >= 0 for index in parse(text).listed)


def test_a_number_that_may_have_lost_digits_is_not_believed():
    assert (parse("[1,2,3...").listed, parse("[1,2,3...").onwards) == ((1, 2), 3)
    assert (parse("[1,5-7...").listed, parse("[1,5-7...").onwards) == ((1, 5), 6)
    assert (parse("[...]").listed, parse("[...]").onwards) == ((), 0)
    assert parse("N/A").listed == parse("").listed == ()


@st.composite
def states(draw):
    """What the accounting writes of an end, and our word for it."""
    state = draw(st.sampled_from(ENDED))
    if state != "CANCELLED":
        return state + draw(st.sampled_from(["", "+"])), state
    by_somebody = draw(st.sampled_from(["CANCELLED by 1000", "CANCELLED by 0", "CANCELLED+"]))
    return draw(st.sampled_from([(by_somebody, state), (state, NOBODYS)]))


def test_a_line_about_one_task_counts_for_more_than_a_list_of_one(monkeypatch):
    lines = [f"{TOKEN}|57_[0]|COMPLETED||||", f"{TOKEN}|57_0|FAILED||gpu1||"]
    for order in (lines, lines[::-1]):
        monkeypatch.setattr(module, "call", lambda *command, order=order: "\n".join(order))
        queue = Queue()
        queue.read_sacct([TOKEN], 0.0)
        assert queue.tasks[TOKEN, 0].state == "FAILED"


@given(lists(), states(), st.dictionaries(st.integers(0, 90), states(), max_size=4), st.data())
def test_the_accounting_is_read_line_by_line(given_, whole, alone, data):
    """Lists, tasks on their own, steps and other people's jobs, in any order."""
    text, cut, members = given_
    lines = [f"{TOKEN}|57_[{text.strip('[]')}]|{whole[0]}|2026-01-01T00:00:00|None assigned|None|x"]
    for index, (written, _) in alone.items():
        lines.append(f"{TOKEN}|57_{index}|{written}|2026-01-01T00:00:00|gpu1|None|x")
        lines.append(f"batch|57_{index}.batch|FAILED|2026-01-01T00:00:00|gpu1||")
        lines.append(f"{TOKEN}|57_{index}.0|FAILED|2026-01-01T00:00:00|gpu1||")
    lines.append("other|58|COMPLETED|2026-01-01T00:00:00|gpu1||")
    shuffled = data.draw(st.permutations(lines))
    call, module.call = module.call, lambda *command: "\n".join(shuffled) + "\n"
    try:
        queue = Queue()
        queue.read_sacct([TOKEN], 0.0)
    finally:
        module.call = call
    expected = {(TOKEN, index): whole[1] for index in members}
    expected |= {(TOKEN, index): word for index, (_, word) in alone.items()}
    assert {key: task.state for key, task in queue.tasks.items()} == expected
    assert bool(queue.cut) is cut
