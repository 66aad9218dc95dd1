"""GPU-hours in money and energy, where a profile says what they cost."""

from __future__ import annotations

import json

import pytest

from study.launch.tariff import Tariff, price

from .conftest import study


def test_hours_cost_what_is_known_of_them():
    tariff = Tariff(1.2, "EUR", 700)
    assert tariff.of(18.0) == pytest.approx({"EUR": 21.6, "kWh": 12.6})
    assert tariff.told(7900) == " (9,480 EUR, 5,530 kWh)"
    assert Tariff(watts=400).told(10) == " (4 kWh)"
    assert Tariff().told(10) == ""


@pytest.mark.parametrize("text", ["1.2", "EUR", "1,2 EUR", "-1 EUR", "", "1 EUR an hour"])
def test_what_is_no_price_is_refused_with_one(text):
    with pytest.raises(ValueError, match=r"as in 1\.20 EUR"):
        price(text)


def test_a_plan_says_what_a_job_for_each_run_costs(toy, tmp_path, monkeypatch):
    grid = toy("task: toy\nproduct: {mechanism: [none, 1111, 0010]}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "study").mkdir()
    profile = "{time: '3:00:00', gpus: 2, price_per_gpu_hour: 1.50 EUR, watts_per_gpu: 500}"
    (tmp_path / "study/clusters.yaml").write_text(f"big: {profile}\n")
    asked = ("plan", grid, "--no-cost", "--cluster", "big")
    assert "18.0 GPU-hours (27 EUR, 9 kWh): 3 runs" in study(*asked).stdout
    cost = json.loads(study(*asked, "--json").stdout)["hours"]["cluster"]["cost_a_job_each"]
    assert cost == {"EUR": 27.0, "kWh": 9.0}
    (tmp_path / "study/clusters.yaml").write_text("big: {gpus: 2, price_per_gpu_hour: cheap}\n")
    wrong = study(*asked)
    assert wrong.returncode == 2
    assert "clusters.yaml:1: price_per_gpu_hour: 'cheap' is no price" in wrong.stderr
