"""What a task shows of a run's attention comes through a process of its own into a file."""

import textwrap

import numpy as np
import pytest

from study.errors import StudyError
from study.runs.folder import iter_runs
from study.worker.child import ChildFailed
from study.worker.look import look

from .conftest import study

LOOKS = """
    import numpy
    from plugins.contracts.task import Looks

    class Seeing(Toy, Looks):
        def look(self, job, source, query):
            print("a greeting")
            if source == "nothing":
                raise ValueError("there is nothing to see in nothing")
            if source == "crash":
                raise RuntimeError("out of order")
            return {"image": numpy.arange(6).reshape(2, 3), "query": numpy.array(query or ())}

    Toy = Seeing
"""


@pytest.fixture
def folder(toy, tmp_path):
    assert study("run", toy('task: toy\nproduct: {mechanism: ["0110"]}\n')).returncode == 0
    (folder,) = iter_runs(tmp_path / "runs")
    return folder


def test_a_task_may_do_without(folder, tmp_path):
    with pytest.raises(StudyError, match=r"^the task 'toy' cannot show where a model looks$"):
        look(folder, "anything", None, tmp_path / "out.npz")


def test_the_arrays_are_those_of_the_task(folder, tmp_path):
    with (tmp_path / "site/toytask/task.py").open("a") as file:
        file.write(textwrap.dedent(LOOKS))
    out = tmp_path / "new" / "out.npz"
    for query in ((12, 7), None):
        look(folder, "image.png", query, out)
        with np.load(out) as found:
            assert found["image"].tolist() == [[0, 1, 2], [3, 4, 5]]
            assert tuple(found["query"]) == (query or ())
    out.unlink()
    with pytest.raises(StudyError, match=r"^there is nothing to see in nothing$") as refused:
        look(folder, "nothing", None, out)
    assert not isinstance(refused.value, ChildFailed)
    with pytest.raises(ChildFailed) as failed:
        look(folder, "crash", None, out)
    assert str(failed.value) == "RuntimeError: out of order"
    assert not out.exists()


def test_a_question_looks_where_a_task_asks_and_nowhere_else(folder, tmp_path):
    with (tmp_path / "site/toytask/task.py").open("a") as file:
        file.write(textwrap.dedent(LOOKS))
    out = tmp_path / "out.npz"
    with pytest.raises(StudyError, match=r"^the task 'toy' takes no question, but 'what\?' is"):
        look(folder, "image.png", "what?", out)
    with (tmp_path / "site/toytask/task.py").open("a") as file:
        file.write("\nToy.asks = True\n")
    for pixel in ((12, 7), None):
        with pytest.raises(StudyError, match=r"^in toy a question looks at an image: study att"):
            look(folder, "image.png", pixel, out)
    look(folder, "image.png", "what?", out)
    with np.load(out) as found:
        assert str(found["query"]) == "what?"
