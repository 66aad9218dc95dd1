"""One format for each quantity that a person reads."""

import pytest

from study.units import duration, gibi, giga, mega, size


@pytest.mark.parametrize(
    ("macs", "shown"),
    [
        (311_000_000, "0.311"),
        (20_000_000_000, "20.0"),
        (9_996_000_000, "10.0"),
        (9_994_000_000, "9.99"),
        (1_234_567_000_000, "1235"),
        (5_308, "0.00000531"),
        (-2_500_000, "-0.00250"),
        (0, "0"),
    ],
)
def test_macs_have_three_significant_digits_of_a_billion(macs, shown):
    assert giga(macs) == shown


def test_parameters_are_in_millions_and_memory_in_gib():
    assert mega(20_000_000) == "20.0"
    assert mega(34) == "0.0000340"
    assert gibi(80 * 2**30) == "80.0"
    assert gibi(2**29) == "0.500"


def test_a_file_has_its_size_in_the_largest_unit_that_it_fills():
    assert size(0) == "0 B"
    assert size(999) == "999 B"
    assert size(12_345) == "12.3 kB"
    assert size(565_000_000) == "565 MB"
    assert size(1_530_000_000) == "1.53 GB"


def test_a_difference_has_its_sign_with_the_minus_that_python_reads():
    assert giga(1_500_000_000, signed=True) == "+1.50"
    assert float(giga(-1_500_000_000, signed=True)) == -1.5
    assert giga(0, signed=True) == "0"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (724, "12 min 04 s"),
        (3599.6, "1 h 00 min"),
        (108_300, "30 h 05 min"),
    ],
)
def test_a_time_is_in_seconds_minutes_and_hours(seconds, shown):
    assert duration(seconds) == shown
