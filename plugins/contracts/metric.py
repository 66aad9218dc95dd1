"""What a metric is: its unit, what one point of it is, which way is better, how it is written."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Metric"]


@dataclass(frozen=True)
class Metric:
    """A number that a task records of a trained model.

    Tables, figures, effects and verdicts ask here how to show it and how to judge it.

    Parameters
    ----------
    name: str
        As it stands in the ``val`` records.
    unit: str
        What it measures, in a few words; empty if the name says it.
    point: float
        What people call one point, as an amount of the metric: 0.01 of a mean average precision in
        [0, 1], 1 of BLEU in [0, 100]. Records keep the metric's own unit, people read points.
    higher_is_better: bool
        Which way is better.
    decimals: int
        Digits after the decimal point of a value in points.
    best: float, optional
        The best possible value.
    of_data: bool
        Whether the data alone give it, whatever is trained: chance, or a bound. Tables tell it in a
        note.
    lacking: str
        What a validation set is like whose evaluation gives no value, for the user who has one.
    """

    name: str
    unit: str = ""
    point: float = 1.0
    higher_is_better: bool = True
    decimals: int = 2
    best: float | None = None
    of_data: bool = False
    lacking: str = ""

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1; a difference times this is a gain."""
        return 1 if self.higher_is_better else -1

    @property
    def shown(self) -> str:
        """What heads a column or an axis of formatted values: ``mAP points``, ``BLEU``."""
        return self.name if self.point == 1 else f"{self.name} points"

    def format(self, value: float, signed: bool = False) -> str:
        """Write a value, or with `signed` a difference, in points with `decimals` digits."""
        return f"{value / self.point:{'+' if signed else ''}.{self.decimals}f}"

    def better(self, first: float, second: float) -> bool:
        """Tell whether the first of two values is the better one."""
        return self.sign * (first - second) > 0
