import subprocess
import sys
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.attention.core import registry
from plugins.attention.core.word import TERM_SETS, Word

from .invented import Gate, Mixed, installed


def written(base, within, deformable):
    word = base if base == "none" or within is None else f"{base}@{within}"
    return f"{word}+deformable" if deformable else word


words = st.builds(
    written,
    st.sampled_from(["none", "dynamic", *TERM_SETS]),
    st.none() | st.integers(1, 10_000),
    st.booleans(),
)


@given(words)
def test_parse_and_print_are_inverse(word):
    assert str(Word.parse(word)) == word


@given(
    st.integers(1, 64),
    st.floats(0, 1, allow_nan=False),
    st.booleans(),
    st.sampled_from(["mean", "max"]),
    st.booleans(),
)
def test_options_have_one_spelling(ratio, dropout, open_, pooling, deformable):
    with installed(gate=Gate):
        part = Gate(ratio=ratio, dropout=dropout, open=open_, pooling=pooling)
        word = Word((part, *Word.parse("none+deformable").parts) if deformable else (part,))
        assert Word.parse(str(word)) == word
        assert all(sign.isascii() and (sign.isalnum() or sign in ":=+._-") for sign in str(word))


def test_there_are_sixteen_term_sets():
    assert len(set(TERM_SETS)) == 16
    assert TERM_SETS[0] == "0000"
    assert TERM_SETS[-1] == "1111"


def test_all_installed_names_are_words():
    assert set(registry.names()) >= {"none", "dynamic", "deformable", *TERM_SETS}
    for name in registry.names():
        beside = registry.mechanism_class(name).beside
        assert str(Word.parse(f"none+{name}" if beside else name)).endswith(name)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("1112", "did you mean '111"),
        ("nome", "did you mean 'none'"),
        ("0010+deformabel", "did you mean '0010\\+deformable'"),
        ("dinamic", "did you mean 'dynamic'"),
        ("", "unknown mechanism ''"),
        ("none@3", "no spatial range"),
        ("gate@3", "'gate' has no spatial range"),
        ("1111@0", "at least 1"),
        ("1111@03", "is written '1111@3'"),
        ("../../etc", "unknown mechanism"),
        ("1111+deformable+deformable", "names a mechanism twice"),
        ("deformable", "is written 'none\\+deformable'"),
        ("deformable+0010", "is written '0010\\+deformable'"),
        ("none+0010", "is written '0010'"),
        ("mixed+gate", "is written 'gate\\+mixed'"),
        ("gate:ratio=4:pooling=mean", "is written 'gate'"),
        ("gate:pooling=max:ratio=8", "is written 'gate:ratio=8:pooling=max'"),
        ("gate:ratio=08", "is written 'gate:ratio=8'"),
        ("gate:ratoi=8", "no option 'ratoi'; did you mean 'ratio'"),
        ("gate:ratio=8:ratio=4", "sets the option 'ratio' twice"),
        ("gate:ratio=0", "ratio=0: Input should be greater than or equal to 1"),
        ("gate:pooling=median", "pooling=median: Input should be 'mean' or 'max'"),
        ("gate:dropout=nan", "dropout=nan"),
        ("0010:ratio=8", "'0010' has no options"),
        ("gate:ratio", "options are written gate:option=value"),
    ],
)
def test_a_wrong_word_is_explained(word, message):
    with installed(gate=Gate, mixed=Mixed), pytest.raises(ValueError, match=message):
        Word.parse(word)


def test_a_word_imports_what_it_names_and_no_torch():
    code = """
        import sys
        from plugins.attention.core.word import Word
        Word.parse("0010+deformable")
        names = [name for name in sys.modules if name.startswith("plugins.attention.mechanisms.")]
        assert {name.rpartition(".")[2] for name in names} == {"generalized", "deformable"}, names
        sys.exit("torch" in sys.modules)
    """
    code = "\n".join(line.strip() for line in code.splitlines())
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_yaml_and_shell_take_a_word_without_quotes():
    import yaml

    word = "gate:ratio=8:pooling=max+deformable"
    assert yaml.safe_load(f"mechanism: [none, {word}]")["mechanism"] == ["none", word]
    assert yaml.safe_load(f"mechanism:\n- {word}\n")["mechanism"] == [word]
    shown = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, text=True)
    assert shown.stdout == word


def test_an_option_of_its_own_type_is_read():
    with installed(gate=Gate):
        (part,) = Word.parse("gate:dropout=0.5:open=true:pooling=max").parts
    assert (part.dropout, part.open, part.pooling) == (0.5, True, "max")
    assert part.model_fields["pooling"].annotation == Literal["mean", "max"]


def test_a_large_number_has_no_plus():
    fields = {"__annotations__": {"scale": float}, "scale": 1.0, "__module__": Gate.__module__}
    wide = type("WideGate", (Gate,), fields)
    with installed(gate=wide):
        for scale, written in ((1e20, "1e20"), (1.5e-7, "1.5e-07"), (1234567.5, "1234567.5")):
            word = Word((wide(scale=scale),))
            assert str(word) == f"gate:scale={written}"
            assert Word.parse(str(word)) == word
