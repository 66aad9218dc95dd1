"""What stands in a YAML file arrives as it is written, or is refused with its line."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from study.errors import StudyError
from study.yamlfile import YamlFile, validated


class Texts(BaseModel):
    text: str
    several: tuple[str, ...] = ()
    by_name: dict[str, str] = {}


class Anything(BaseModel):
    value: object = None


class Numbers(BaseModel):
    whole: int = 0
    real: float = 0.0


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    path = tmp_path_factory.mktemp("yaml") / "file.yaml"

    def read(model, text):
        path.write_text(text, encoding="utf-8")
        file = YamlFile(path, "a test")
        return validated(model, file.content, file)

    return read


WORDS = (
    *("680841e1", "12e5", "3.10", "on", "no", "yes", "off", "y", "0x1F", "0o17", "1_000", "017"),
    *(
        "1:30",
        "8:00:00",
        "2024-05-01",
        "2024-05-01T10:00Z",
        "~",
        "null",
        "Null",
        "true",
        "FALSE",
    ),
    *("2.5GHz", "10.0.0.1", "1.2.3", ".5x", "2024.05.01.pth", "1.5.2", "1.2-boxes", ".inf", ".NaN"),
    *("1e999", "-0", "+1", "0010", "=", "1.", "0b11", "-.5", "1e5e5", "1-2", "1 000"),
)


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_text_as_it_is_written(read, word):
    found = read(Texts, f"text: {word}\nseveral: [{word}]\nby_name: {{{word}: {word}}}\n")
    assert found == Texts(text=word, several=(word,), by_name={word: word})


PLAIN = r"[-+.~=<?/\\()$^;0-9a-zA-Z_][-+.~=<?/\\()$^;: 0-9a-zA-Z_]*"


@given(st.from_regex(PLAIN, fullmatch=True))
def test_any_text_arrives_as_it_is_written_or_is_refused_with_its_line(read, text):
    content = f"# one line more\ntext: {text}\n"
    with contextlib.suppress(yaml.YAMLError):
        written = yaml.load(content, yaml.BaseLoader)["text"]  # whose scalars are all text
        if isinstance(written, str):
            assert read(Texts, content).text == written
            return
    with pytest.raises((StudyError, ValidationError), match=r"file\.yaml:[23]: |valid string"):
        read(Texts, content)


@given(st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF)))
def test_any_text_in_quotes_arrives_unchanged(read, text):
    assert read(Texts, f"text: {json.dumps(text)}\n").text == text


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_a_number_is_what_json_has(read, number):
    text = json.dumps(number)
    if re.fullmatch("[01]{4}", text):
        assert read(Numbers, f"whole: {text}\n").whole == number
    else:
        found = read(Anything, f"value: {text}\n").value
        assert (found, type(found)) == (number, type(number))


@pytest.mark.parametrize(
    ("text", "number"),
    # https://yaml.org/spec/1.2.2/#103-core-schema has the first seven.
    [("0o7", 7), ("0x3A", 58), ("-19", -19), ("0.", 0.0), ("-0.0", 0.0), (".5", 0.5),
     ("+12e03", 12000.0), ("-2E+05", -200000.0), ("017", 17), ("1e-3", 0.001), ("!!float 3", 3.0)],
)  # fmt: skip
def test_a_number_is_read_as_yaml_1_2_reads_it(read, text, number):
    found = read(Anything, f"value: {text}\n").value
    assert (found, type(found)) == (number, type(number))


@pytest.mark.parametrize("text", ["true", "TRUE", "false", "~", "", "null"])
def test_truth_and_nothing_are_read_as_yaml_1_2_reads_them(read, text):
    expected = None if text in ("~", "", "null") else text.lower() == "true"
    assert read(Anything, f"value: {text}\n").value is expected


def test_one_value_may_be_text_in_one_place_and_a_number_in_another(tmp_path, read):
    class Both(BaseModel):
        numbers: list[float]
        texts: list[str]

    found = read(Both, "numbers: &these [1.50, 2]\ntexts: *these\n")
    assert found == Both(numbers=[1.5, 2.0], texts=["1.50", "2"])


def test_text_that_is_merged_arrives_as_it_is_written(read):
    assert read(Texts, "by_name: {<<: [{a: 1e5}, {b: 3.10}], b: 017}\ntext: a\n").by_name == {
        "a": "1e5",
        "b": "017",
    }


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("a: 1\n<<: {b: 2}\n<<: {c: 3}\n", 3, "key '<<' is given twice; several are merged by a l"),
        ("a: 1\n1: 2\n'1': 3\n", 3, "key '1' is given twice"),
        ("a: 1\n? [b]\n: 2\n", 2, "a key is a word; here it is a list or a mapping"),
        ("a: 1\n{b: 1}: 2\n", 2, "a key is a word"),
        ("a:\n\tb: 1\n", 2, "not valid YAML: a tab; YAML is indented by spaces"),
        ("a: &x 1\nb: &x 2\n", 2, "not valid YAML: found duplicate anchor 'x'"),
        ("a: 1\nb: *nowhere\n", 2, "not valid YAML: found undefined alias 'nowhere'"),
        ("a: 1\n---\nb: 1\n", 2, "not valid YAML: expected a single document"),
        ("a: 1\nb: !!python/none x\n", 2, "not valid YAML: .*tag"),
        ("a: 1\nb: !!binary aGk=\n", 2, "not valid YAML: .*tag"),
        ("a: 1\nb: !!int x\n", 2, "not valid YAML: 'x' is no int"),
        ('a: 1\nb: "\\ud800"\n', 2, "not valid YAML: half of a character"),
        ("a: 1\n<<: 3\n", 2, "not valid YAML: .*merging"),
        ("a: 1\nb: \x07\n", 2, r"not valid YAML: the character '\\x07' is not allowed"),
        ("a: 1\nb: " + "7" * 5000 + "\n", 2, "not valid YAML: a number of 5000 digits"),
        ("a: 1\nb: &c {d: *c}\n", 2, "an alias contains itself"),
        ("a: 1\nb: ü\n".encode("latin-1"), 2, "not UTF-8: save the file in that encoding"),
        ("a: 1\n".encode("utf-16"), 1, "not UTF-8"),
        ("", None, "a mapping of keys to values is expected"),
        ("# nothing\n", None, "a mapping of keys to values is expected"),
        ("just words\n", None, "a mapping of keys to values is expected"),
    ],
)
def test_what_is_no_mapping_of_words_is_refused_with_its_line(tmp_path, content, line, message):
    path = tmp_path / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    where = f"{path}:{line}: " if line else f"{path}: "
    with pytest.raises(StudyError, match=f"^{re.escape(where)}{message}"):
        YamlFile(path, "a test")


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(StudyError, match=rf"^{re.escape(str(tmp_path))}: .*[Ii]s a directory$"):
        YamlFile(tmp_path, "a test")


@pytest.mark.parametrize("text", ["\ufeffa: 1\n", "a: 1\r\n", "\ufeffa: 1\r\nb: 2\r\n"])
def test_a_byte_order_mark_and_line_ends_of_windows_make_no_difference(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_bytes(text.encode())
    assert YamlFile(path, "a test").content["a"] == 1
