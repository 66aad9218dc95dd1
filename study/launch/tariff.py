"""What GPU-hours cost, in money and in energy, where a profile says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

__all__ = ["Tariff", "price"]

PRICE = re.compile(r"(\d+(?:\.\d+)?)\s+(\S+)")


def price(value: Any) -> tuple[float, str]:
    """Read the price of a GPU-hour: ``1.20 EUR``.

    Raises
    ------
    ValueError
        With what would be right.
    """
    match = PRICE.fullmatch(str(value).strip())
    if not match:
        raise ValueError(
            f"{value!r} is no price of a GPU-hour: a number and a unit, as in 1.20 EUR"
        )
    return float(match[1]), match[2]


@dataclass(frozen=True)
class Tariff:
    """What a GPU costs an hour.

    Attributes
    ----------
    amount: float, optional
        Of money, or of whatever a cluster counts in.
    unit: str
        Of `amount`.
    watts: float, optional
        The power that a GPU draws, with its share of the node's as far as the user counts that in.
    """

    amount: float | None = None
    unit: str = ""
    watts: float | None = None

    def of(self, gpu_hours: float) -> dict[str, float]:
        """Return what so many GPU-hours cost, by unit: ``{"EUR": 21.6, "kWh": 12.6}``."""
        known = {self.unit: self.amount, "kWh": self.watts and self.watts / 1000}
        return {unit: gpu_hours * each for unit, each in known.items() if each is not None}

    def told(self, gpu_hours: float) -> str:
        """Say it in brackets, after the hours; empty where nothing is known."""
        parts = [f"{amount:,.0f} {unit}" for unit, amount in self.of(gpu_hours).items()]
        return f" ({', '.join(parts)})" if parts else ""
