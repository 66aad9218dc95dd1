import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.attention.core.word import TERM_SETS, Mechanism

words = st.builds(
    lambda base, within, deformable: Mechanism(
        base, within if base != "none" else None, deformable
    ),
    st.sampled_from(["none", "dynamic", *TERM_SETS]),
    st.none() | st.integers(1, 10_000),
    st.booleans(),
)


@given(words)
def test_parse_and_print_are_inverse(mechanism):
    assert Mechanism.parse(str(mechanism)) == mechanism


def test_there_are_sixteen_term_sets():
    assert len(set(TERM_SETS)) == 16
    assert TERM_SETS[0] == "0000"
    assert TERM_SETS[-1] == "1111"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("1112", "did you mean '111"),
        ("nome", "did you mean 'none'"),
        ("0010+deformabel", "did you mean '0010\\+deformable'"),
        ("dinamic", "did you mean 'dynamic'"),
        ("", "unknown mechanism ''"),
        ("none@3", "no spatial range"),
        ("1111@0", "at least 1"),
        ("1111@03", "is written '1111@3'"),
        ("../../etc", "unknown mechanism"),
        ("1111+deformable+deformable", "unknown mechanism"),
    ],
)
def test_a_wrong_word_is_explained(word, message):
    with pytest.raises(ValueError, match=message):
        Mechanism.parse(word)


def test_a_range_gives_the_kernel_of_dynamic_convolution():
    assert Mechanism.parse("dynamic").kernel_size == 3
    assert Mechanism.parse("dynamic@3").kernel_size == 7


def test_reading_a_word_does_not_import_torch():
    code = "import sys, plugins.attention.core.word; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
