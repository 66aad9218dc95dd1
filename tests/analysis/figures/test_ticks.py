"""Numbers at ticks: trailing zeros, no exponent, the minus of the tables."""

import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from analysis.figures.drawing.ticks import InUnit


@pytest.mark.parametrize(
    ("size", "ticks", "shown"),
    [
        (0.01, [0.05, 0.055, 0.06], ["5.0", "5.5", "6.0"]),
        (0.01, [-0.02, 0.0, 0.02], ["-2", "0", "2"]),
        (1e9, [0.0, 5e5, 2e6], ["0", "0.0005", "0.0020"]),
        (1e9, [1e4, 2e4], ["0.00001", "0.00002"]),
        (1e9, [1e11, 1.5e11], ["100", "150"]),
    ],
)
def test_ticks_of_a_linear_axis_have_equal_decimals(size, ticks, shown):
    axes = Figure().subplots()
    axes.set_xlim(min(ticks), max(ticks))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(InUnit(size))
    assert [label.get_text() for label in axes.get_xticklabels()] == shown


def test_ticks_of_a_logarithmic_axis_have_the_digits_that_each_needs():
    axes = Figure().subplots()
    axes.set_xscale("log")
    axes.set_xlim(1e4, 1e10)
    axes.xaxis.set_major_locator(FixedLocator([1e4, 2e9, 1e10]))
    axes.xaxis.set_major_formatter(InUnit(1e9))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.00001", "2", "10"]
