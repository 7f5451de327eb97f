"""Generated tasks whose answers are known, and training on them.

The names load on first use, so that importing the package loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnndsl.training.tasks.fit import TaskConfig as TaskConfig
    from rnndsl.training.tasks.fit import TaskResult as TaskResult
    from rnndsl.training.tasks.fit import train_task as train_task
    from rnndsl.training.tasks.table import TASKS as TASKS
    from rnndsl.training.tasks.table import find_task as find_task
    from rnndsl.training.tasks.task import Examples as Examples
    from rnndsl.training.tasks.task import Task as Task

_HOMES = {
    "Examples": "task",
    "TASKS": "table",
    "Task": "task",
    "TaskConfig": "fit",
    "TaskResult": "fit",
    "find_task": "table",
    "train_task": "fit",
}

__all__ = ["TASKS", "Examples", "Task", "TaskConfig", "TaskResult", "find_task", "train_task"]

if not TYPE_CHECKING:  # so that checkers flag a misspelt name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'rnndsl.training.tasks' has no attribute {name!r}")
        value = getattr(import_module(f"rnndsl.training.tasks.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
