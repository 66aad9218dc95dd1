"""The data sets: what there is, where it lies, and how it gets there."""

from study.data.preparing import add, prepare, prepare_from
from study.data.sets import (
    card,
    data_root,
    datasets,
    embedded,
    from_copy,
    is_prepared,
    looks_like_copy,
    module_of,
    names,
    outputs,
    overview,
    path,
    task_of,
    training_items,
    verify,
)

__all__ = [
    "add",
    "card",
    "data_root",
    "datasets",
    "embedded",
    "from_copy",
    "is_prepared",
    "looks_like_copy",
    "module_of",
    "names",
    "outputs",
    "overview",
    "path",
    "prepare",
    "prepare_from",
    "task_of",
    "training_items",
    "verify",
]
