"""A function in a process of its own: what it answers, prints, raises, and how it ends."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from study.errors import StudyError
from study.worker.child import Child, ChildFailed, ask

FUNCTIONS = """
    import os, sys, time
    from pathlib import Path
    from study.errors import StudyError

    def add(a, b):
        print("a greeting")
        os.write(1, b"of a library in C\\n")
        return {"sum": a + b, "input": sys.stdin.read(), "pid": os.getpid()}

    def refuse():
        raise StudyError("there is no such thing; take another")

    def fail():
        return 1 // 0

    def end(code):
        print("last words", flush=True)
        os._exit(code) if code >= 0 else os.kill(os.getpid(), -code)

    def long(letters):
        for _ in range(letters // 1000):
            print("x" * 1000)
        return "y" * letters

    def variables():
        return dict(os.environ)

    def sleep(pid):
        try:
            Path(pid).write_text(str(os.getpid()))
            time.sleep(60)
        finally:
            Path(pid + ".cleaned").touch()

    def deaf(parent):
        while True:
            try:
                parent.tell("here")
                time.sleep(60)
            except BaseException:
                pass

    def count(parent):
        for number in range(parent.hear()):
            print("at", number)
            parent.tell(number)

    def echo(parent):
        while True:
            parent.tell(parent.hear())

    def die_on_the_way(parent):
        parent.tell("first")
        os._exit(7)
"""


@pytest.fixture(autouse=True)
def functions(tmp_path, monkeypatch):
    (tmp_path / "functions.py").write_text(textwrap.dedent(FUNCTIONS))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


def test_what_is_printed_is_progress_and_not_the_answer():
    lines = []
    found = ask("functions:add", {"a": 1, "b": 2}, progress=lines.append)
    assert (found["sum"], found["input"]) == (3, "")
    assert found["pid"] != os.getpid()
    assert lines == ["a greeting", "of a library in C"]


def test_an_expected_error_is_a_sentence_and_another_has_its_last_line():
    with pytest.raises(StudyError, match=r"^there is no such thing; take another$") as refused:
        ask("functions:refuse", {})
    assert not isinstance(refused.value, ChildFailed)
    with pytest.raises(ChildFailed, match=r"^ZeroDivisionError: integer") as failed:
        ask("functions:fail", {})
    assert "return 1 // 0" in failed.value.__notes__[0]
    with pytest.raises(ChildFailed, match=r"^ModuleNotFoundError: No module named 'functionz'"):
        ask("functionz:add", {})


def test_an_end_without_an_answer_says_how():
    with pytest.raises(ChildFailed, match=r"^last words$"):
        ask("functions:end", {"code": 3})
    with pytest.raises(ChildFailed, match=r"ended by SIGSEGV$"):
        ask("functions:end", {"code": -signal.SIGSEGV})
    with pytest.raises(ChildFailed, match=r"ended by SIGKILL, as Linux .* for want of memory$"):
        ask("functions:end", {"code": -signal.SIGKILL})


def test_more_than_a_pipe_holds_goes_through_both():
    assert len(ask("functions:long", {"letters": 1_000_000})) == 1_000_000


def test_checkpoints_are_read_without_calling_what_they_name(monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    found = ask("functions:variables", {}, {"OF_THE_CHILD": "alone"})
    assert found["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in found
    assert found["OF_THE_CHILD"] == "alone"
    assert "OF_THE_CHILD" not in os.environ


def test_answers_come_one_by_one_until_the_end():
    lines = []
    with Child("functions:count", progress=lines.append) as child:
        child.tell(3)
        assert list(child) == [0, 1, 2]
    assert lines == ["at 0", "at 1", "at 2"]
    with Child("functions:die_on_the_way") as child:
        assert child.hear() == "first"
        for _ in range(2):
            with pytest.raises(ChildFailed, match=r"^exit code 7$"):
                child.hear()
        assert not child.tell("anything")
    with Child("functions:die_on_the_way") as child, pytest.raises(ChildFailed, match=r"code 7"):
        list(child)


def test_a_conversation_waits_no_longer_than_asked_to():
    with Child("functions:echo") as child:
        with pytest.raises(TimeoutError):
            child.hear(0)
        for word in ("one", {"two": 2}):
            child.tell(word)
            assert child.hear(30) == word
    assert not psutil.pid_exists(child.pid)


def test_a_child_that_is_told_to_end_cleans_up(tmp_path):
    pid = tmp_path / "pid"
    with pytest.raises(TimeoutError, match="no answer within 2 s"):
        ask("functions:sleep", {"pid": str(pid)}, seconds=2)
    assert not psutil.pid_exists(int(pid.read_text()))
    assert (tmp_path / "pid.cleaned").exists()


def test_a_child_that_does_not_hear_is_killed():
    with Child("functions:deaf") as child:
        child.hear()
        begun = time.monotonic()
        assert child.end(grace=0.5) == -signal.SIGKILL
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_in_order_with_its_parent(tmp_path, number):
    pid = tmp_path / "pid"
    code = f"from study.worker.child import ask; ask('functions:sleep', {{'pid': {str(pid)!r}}})"
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.DEVNULL,
        # Whoever started the tests may have told them to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    _wait_for(lambda: pid.exists() and pid.read_text())
    parent.send_signal(number)
    assert parent.wait(20)
    _wait_for((tmp_path / "pid.cleaned").exists)
    _wait_for(lambda: not psutil.pid_exists(int(pid.read_text())))


def _wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
