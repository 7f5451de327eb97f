"""Programs by handle: what an operator is given as a string, and the runner it stands for."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace

from rnndsl.backends.torch.program import SequenceProgram, parse_program
from rnndsl.backends.torch.runner import Runner

# Both a program's text and its short handle name its runner.  A text is looked up by its
# handle, so that a program that was saved and read back shares what is compiled already.
_runners: dict[str, Runner] = {}
_handles: dict[str, str] = {}
_lock = threading.Lock()


def register(program: SequenceProgram) -> str:
    """A short handle for a program, valid in this process."""
    return _handle(program.text, program)


def find_runner(name: str) -> Runner:
    """The runner of a handle or of a program's text.

    Raises ProgramTextError for a text that is no program, KeyError for an unknown handle.
    """
    if name.startswith("#"):
        return _runners[name]
    if name not in _handles:
        _handles[name] = _handle(name, parse_program(name))
    return _runners[_handles[name]]


def _handle(text: str, program: SequenceProgram) -> str:
    twin = None
    if program.memory_budget is not None:
        twin = find_runner(register(replace(program, memory_budget=None)))
    handle = "#" + hashlib.sha256(text.encode()).hexdigest()[:24]
    with _lock:
        _runners.setdefault(handle, Runner(program, twin))
    return handle
