"""A cluster profile is checked before anything is queued."""

from __future__ import annotations

import pytest

from study.errors import StudyError
from study.grid.reading import load as load_grid
from study.launch.clusters import check_processes
from study.launch.slurm.profile import load, minutes


@pytest.fixture
def profiles(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "study" / "clusters.yaml"

    def write(text):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("8:00:00", 480), ("0:30", 1), ("1-12", 2160), ("2-12:30:00", 3630), (45, 45)],
)
def test_times_are_read_as_sbatch_reads_them(text, expected):
    assert minutes(text) == expected


def test_options_replace_what_the_profile_says_and_sbatchs_own_are_added(profiles):
    profiles(
        "a100: {partition: gpu, gpus: 4, nodes: 2, time: '1:00:00', sbatch: {mail-type: FAIL}}"
    )
    profile = load("a100", ["partition=short", "sbatch.begin=now+1hour", "sbatch.exclusive="])
    assert (profile.partition, profile.processes, profile.gpu_hours) == ("short", 8, 8.0)
    assert profile.sbatch == {"mail-type": "FAIL", "begin": "now+1hour", "exclusive": True}


def test_a_run_that_lacked_memory_is_given_half_as_much_more_up_to_the_limit(profiles):
    profile = load("slurm", ["mem_gb=32", "max_mem_gb=60"])
    assert [profile.memory(failures) for failures in range(4)] == [32, 48, 60, 60]
    assert load("slurm").memory(2) is None


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("slurm: {partion: gpu}", [], r"clusters.yaml:1: partion: unknown key; did you mean 'part"),
        ("slurm:\n  gpus: 1\n  time: soon", [], r"clusters.yaml:3: time: 'soon' is no time: 90"),
        ("slurm: {sbatch: {array: 1-9}}", [], r"sbatch.array: set by the launcher"),
        ("slurm: {sbatch: {'x; rm': 1}}", [], r"sbatch.x; rm: no option of sbatch"),
        ("slurm:\n  nodes: true", [], r"clusters.yaml:2: nodes: Input should be a valid integer"),
        ("slurm: {nodes: 0}", [], r"nodes: .*greater than or equal to 1"),
        ("slurm: {mem_gb: 8, max_mem_gb: 4}", [], r"max_mem_gb goes with a mem_gb"),
        ("slurm: 5", [], r"clusters.yaml:1: a profile is a mapping"),
        ("slurm: {}", ["gpus=many"], r"--option: gpus: .*valid integer"),
        ("slurm: {}", ["gpus"], r"KEY=VALUE is expected"),
        ("slurm: {}", ["time=1", "signal_seconds=90"], r"leaves nothing of the time limit"),
        ("slurm: {}", ["partition=a b\nc"], r"one line"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_would_be_right(
    profiles, text, options, message
):
    profiles(text)
    with pytest.raises(StudyError, match=message):
        load("slurm", options)


def test_words_of_a_profile_arrive_as_they_are_written(profiles):
    profiles(
        "mine: {account: 680841e1, constraint: 2.5GHz, exclude: 10.0.0.1, partition: 3.10,\n"
        "       reservation: on, qos: no, setup: [.5x, 017], time: 1:30:00,\n"
        "       sbatch: {comment: 1.2.3, begin: 2024-05-01, mem: 12e5, exclusive: true}}\n"
    )
    found = load("mine")
    words = ("account", "constraint", "exclude", "partition", "reservation", "qos")
    assert [getattr(found, word) for word in words] == [
        *("680841e1", "2.5GHz", "10.0.0.1", "3.10", "on", "no")
    ]
    assert (found.setup, found.time) == ([".5x", "017"], 90)
    assert found.sbatch == {
        "comment": "1.2.3",
        "begin": "2024-05-01",
        "mem": "12e5",
        "exclusive": "true",  # the script knows that the option takes no value
    }


@pytest.mark.parametrize("number", [".inf", ".nan", "1e999"])
def test_memory_is_a_finite_number(profiles, number):
    profiles(f"mine:\n  mem_gb: {number}\n")
    with pytest.raises(StudyError, match=r"clusters.yaml:2: mem_gb: .*"):
        load("mine")


def test_an_unknown_profile_is_answered_with_those_there_are(profiles):
    with pytest.raises(StudyError, match=r"no file .*clusters.yaml with a profile 'a100'"):
        load("a100")
    profiles("a100: {}\nv100: {}")
    with pytest.raises(StudyError, match=r"has no profile 'a10'; did you mean 'a100'"):
        load("a10")


@pytest.mark.parametrize(
    ("task", "recipe", "options", "told"),
    [
        ("detection", "batch_size: 8, accumulate: 4", ["gpus=2"], None),
        ("detection", "batch_size: 8, accumulate: 4", ["nodes=2", "gpus=2"],
         "my: batch_size 8 is not divisible by 4 processes x 4 parts (accumulate): 1, 2 processes "
         "would do; a run has 4 by the profile 'slurm' (nodes: 2, processes a node: 2)"),
        ("segmentation", "batch_size: 6", ["tasks=4"],
         "my: batch_size 6 is not divisible by 4 processes: 1, 2, 3, 6 processes would do; a run "
         "has 4 by the profile 'slurm' (nodes: 1, processes a node: 4)"),
        ("translation", "update_frequency: 4", ["nodes=3"], None),
    ],
)  # fmt: skip
def test_processes_that_cannot_share_a_batch_are_refused(
    profiles, tmp_path, task, recipe, options, told
):
    grid = tmp_path / "my.yaml"
    grid.write_text(f"task: {task}\nrecipe: {{{recipe}}}\nproduct: {{mechanism: [none, 0010]}}\n")
    runs = load_grid(grid).runs()
    check_processes(load("slurm"), "slurm", runs)
    profile = load("slurm", options)
    if told is None:
        check_processes(profile, "slurm", runs)
        return
    with pytest.raises(StudyError) as raised:
        check_processes(profile, "slurm", runs)
    assert str(raised.value) == told
