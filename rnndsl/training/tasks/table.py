"""The tasks by name."""

from __future__ import annotations

from collections.abc import Mapping

from rnndsl.diagnostics import did_you_mean
from rnndsl.training.errors import UnknownTask, training_error
from rnndsl.training.tasks.digits import DIGITS
from rnndsl.training.tasks.signals import FREQUENCY, MACKEY_GLASS
from rnndsl.training.tasks.symbols import ADDING, COPY, PARITY
from rnndsl.training.tasks.task import Task

TASKS: Mapping[str, Task] = {
    task.name: task for task in (ADDING, COPY, DIGITS, FREQUENCY, MACKEY_GLASS, PARITY)
}


def find_task(name: str) -> Task:
    """The task of that name; RnndslError (E0721) if there is none."""
    if name not in TASKS:
        near = did_you_mean(name, (*TASKS, "char", "word"))
        raise training_error(UnknownTask(name=name, known=", ".join(TASKS), suggestion=near))
    return TASKS[name]
