"""What a profile says to ``sbatch`` arrives as it is written, or is refused with its line."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.errors import StudyError
from study.launch.slurm import options
from study.launch.slurm.profile import load
from study.launch.slurm.script import script

TEXTS = ("partition", "account", "qos", "constraint", "exclude", "reservation")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "study").mkdir()
    return tmp_path / "study" / "clusters.yaml"


def told(profile):
    """The options in the script for a profile, by name; True for one without a value."""
    text = script("study-token", Path("/runs"), 1, None, profile.memory(0), profile, Path("/code"))
    words = [
        word.removeprefix("--").partition("=")
        for line in text.splitlines()
        if line.startswith("#SBATCH ")
        for word in shlex.split(line.removeprefix("#SBATCH "))
    ]
    assert len(words) == len({name for name, _, _ in words})  # none is written twice
    return {name: value if equals else True for name, equals, value in words}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "word",
    ["680841e1", "3.10", "on", "no", "2030-01-01", "0x1F", "1_000", "007", ".5", "y", "1:30"],
)
def test_text_is_what_is_written(home, name, word):
    home.write_text(f"mine:\n  {name}: {word}\n")
    assert told(load("mine"))[name] == word


WORDS = "on off yes no true false null ~ 1e3 1.0 0o17 .inf .nan 12:30:45 1_000 0x1F - :"
SCALARS = st.one_of(
    st.text("0123456789.eE+-_:xn", min_size=1, max_size=8),
    st.text(min_size=1, max_size=8),
    st.sampled_from(WORDS.split(" ")),
    st.dates().map(str),
    st.datetimes().map(str),
    st.floats().map(str),
    st.integers().map(str),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from([*TEXTS, "sbatch.comment", "sbatch.begin"]), SCALARS)
def test_any_scalar_arrives_as_its_author_wrote_it_or_is_refused_with_its_line(home, key, word):
    """PyYAML says what the text is, whatever it takes it for."""
    *above, name = key.split(".")
    indented = [
        "mine:",
        *(f"  {each}:" for each in above),
        f"{'  ' * (1 + len(above))}{name}: {word}",
    ]
    home.write_text("\n".join(indented) + "\n")
    scalar = _scalar(home, len(above))
    arrived = refusal = None
    try:
        arrived = told(load("mine")).get(name)
    except StudyError as error:
        refusal = str(error)
    if refusal is None:
        assert arrived == scalar
        return
    # What is no text of one line, or no YAML of this shape.
    assert refusal.startswith(str(home))
    assert scalar is None or not scalar or not scalar.isprintable() or scalar != scalar.strip()
    assert scalar is None or f"{home}:{len(indented)}: " in refusal


def _scalar(path, depth):
    """The text of the only value in a file, None if there is no such value, or it is null."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"))
        for _ in range(depth + 2):
            ((_, node),) = node.value
        null = node.tag.endswith(":null")
        return node.value if isinstance(node, yaml.ScalarNode) and not null else None
    except (yaml.YAMLError, UnicodeError, ValueError, TypeError, AttributeError):
        return None


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("exclusive", "false", None),
        ("exclusive", "no", None),
        ("exclusive", "true", True),
        ("exclusive", "user", "user"),
        ("oversubscribe", "off", None),
        ("contiguous", "yes", True),
        ("nice", "100", "100"),
        ("comment", "true", "true"),
        ("gres", "nvme:2", "nvme:2"),
        ("mem", "0", "0"),
    ],
)
def test_an_option_is_set_left_out_or_has_its_value(home, key, value, expected):
    home.write_text(f"mine: {{sbatch: {{{key}: {value}}}}}")
    for profile in (load("mine"), load("slurm", [f"sbatch.{key}={value}"])):
        assert told(profile).get(key) == expected


REFUSED = [
    ("test-only: true", "nothing would be queued"),
    ("wrap: hostname", "hands in a script of its own"),
    ("chdir: /tmp", "belongs into the profile's setup"),
    ("D: /tmp", "belongs into the profile's setup"),
    ("clusters: other", "would not know the jobs"),
    ("parsable: true", "reads what sbatch answers"),
    ("wait: true", "study watch waits for them"),
    ("array: 1-9", "use `max_parallel:`"),
    ("ntasks: 4", "use `tasks:`"),
    ("ntasks-per-node: 4", "use `tasks:`"),
    ("n: 4", "use `tasks:`"),
    ("cpus-per-task: 4", "use `cpus:`"),
    ("time: 60", "use `time:`"),
    ("t: 60", "use `time:`"),
    ("p: gpu", "use `partition:`"),
    ("A: vision", "use `account:`"),
    ("nodes: 2", "use `nodes:`"),
    ("signal: USR1@60", "use `signal_seconds:`"),
    ("no-requeue: true", "use `requeue:`"),
    ("gpus: 2", "use `gpus:`"),
    ("gpus-per-node: 'b:1'", "use `gpus:`"),
    ("gres: 'gpu:a:1'", "use `gpus: a:1`"),
    ("gres: 'nvme:1,gpu:2'", "use `gpus: 2`"),
    ("gres: gpu", "use `gpus: 1`"),
    ("w: gpu1", "their long name here: nodelist"),
    ("comment: null", "needs a value"),
    ("comment: [a, b]", "one line"),
    ("hold: 5", "takes no value; `hold: true`"),
    ("mail_type: FAIL", "no option of sbatch; did you mean 'mail-type'"),
    ("exclusiv: true", "did you mean 'exclusive'"),
    ("X: 1", "no option of sbatch"),
]


@pytest.mark.parametrize(("line", "reason"), REFUSED)
def test_an_option_that_would_break_the_launcher_is_refused_with_its_line_and_the_reason(
    home, line, reason
):
    home.write_text(f"mine:\n  sbatch:\n    mail-type: FAIL\n    {line}\n")
    name, _, value = line.partition(": ")
    with pytest.raises(StudyError) as raised:
        load("mine")
    assert str(raised.value).startswith(f"{home}:4: sbatch.{name}: ")
    assert reason in str(raised.value)
    if value not in ("null", "[a, b]"):
        with pytest.raises(StudyError) as raised:
            load("slurm", [f"sbatch.{name}={value.strip(chr(39))}"])
        assert str(raised.value).startswith(f"--option: sbatch.{name}: ")


def test_memory_and_cores_are_said_once(home):
    for fields in ("mem_gb: 8, sbatch: {mem: 16G}", "mem_gb: 8, sbatch: {mem-per-cpu: 4G}"):
        home.write_text(f"mine: {{{fields}}}")
        with pytest.raises(StudyError, match="mem_gb says how much memory; leave one of them out"):
            load("mine")
    home.write_text("mine: {cpus: 8, sbatch: {cpus-per-gpu: 4}}")
    with pytest.raises(StudyError, match="cpus says how many cores; leave one of them out"):
        load("mine")
    home.write_text("mine: {sbatch: {mem-per-cpu: 4G}}")
    assert told(load("mine"))["mem-per-cpu"] == "4G"


def test_gpus_have_a_number_and_perhaps_a_type(home):
    home.write_text("mine: {gpus: 'a100:4', nodes: 2, time: 60}")
    profile = load("mine")
    assert told(profile)["gpus-per-node"] == "a100:4"
    assert (profile.processes, profile.gpu_hours, profile.one_gpu()) == (8, 8.0, "a100:1")
    assert told(load("slurm", ["gpus=2"]))["gpus-per-node"] == "2"
    assert "gpus-per-node" not in told(load("slurm", ["gpus=0"]))
    for wrong in ("a100", "a100:0", "a:1,b:1", "-1", "1.5", "true", "gpu:a:1"):
        home.write_text(f"mine:\n  gpus: {wrong}\n")
        with pytest.raises(StudyError, match=r"clusters.yaml:2: gpus: .*: 2, a100:2"):
            load("mine")


def test_an_option_of_a_newer_sbatch_or_of_a_plugin_of_it_is_one(home, tmp_path, monkeypatch):
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho '      --stepmgr   enable'\necho '      --tmpfs=<size>'\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    options._here.cache_clear()
    home.write_text("mine: {sbatch: {stepmgr: true, tmpfs: 4G}}")
    found = told(load("mine"))
    options._here.cache_clear()
    assert (found["stepmgr"], found["tmpfs"]) == (True, "4G")
