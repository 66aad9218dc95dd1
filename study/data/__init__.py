"""The data sets: what there is, where it lies, and how it gets there."""

from study.data.sets import (
    MEGABYTE,
    card,
    data_root,
    datasets,
    embedded,
    is_prepared,
    looks_like_copy,
    outputs,
    overview,
    path,
    prepare,
    prepare_from,
    task_of,
    training_items,
    verify,
)

__all__ = [
    "MEGABYTE",
    "card",
    "data_root",
    "datasets",
    "embedded",
    "is_prepared",
    "looks_like_copy",
    "outputs",
    "overview",
    "path",
    "prepare",
    "prepare_from",
    "task_of",
    "training_items",
    "verify",
]
