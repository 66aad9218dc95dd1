"""Runs in a database of MLflow: ``mlflow ui --backend-store-uri sqlite:///OUT/mlflow.db``."""

from __future__ import annotations

from pathlib import Path

from analysis.export.written import Told

__all__ = ["NEEDS", "write"]

NEEDS = "mlflow"


def write(run: Told, out: Path) -> Path:
    """Write a run into the experiment of its grid; one that is there is replaced."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    out.mkdir(parents=True, exist_ok=True)
    store = out.resolve() / "mlflow.db"
    client = MlflowClient(f"sqlite:///{store}")
    found = client.get_experiment_by_name(run.grid)
    experiment = found.experiment_id if found else client.create_experiment(run.grid)
    for old in client.search_runs([experiment], f"tags.id = '{run.id}'"):
        client.delete_run(old.info.run_id)
    began = round(1000 * run.points[0].time) if run.points else None
    tags = {"id": run.id, "state": run.state}
    tracked = client.create_run(experiment, run_name=run.label, start_time=began, tags=tags)
    params = [Param(key, str(value)) for key, value in run.config.items()]
    metrics = [
        Metric(name, value, round(1000 * point.time), point.step)
        for point in run.points
        for name, value in point.values.items()
    ]
    metrics += [Metric(name, value, 0, 0) for name, value in run.result.items()]
    for start in range(0, len(metrics), 1000):  # as many as a request may have
        client.log_batch(tracked.info.run_id, metrics=metrics[start : start + 1000])
    client.log_batch(tracked.info.run_id, params=params)
    client.set_terminated(tracked.info.run_id, "FINISHED" if run.state == "completed" else "FAILED")
    return store
