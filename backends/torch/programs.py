"""Programs by handle: what an operator is given as a string, and the runner it stands for."""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections import OrderedDict
from dataclasses import replace
from functools import lru_cache

from rnndsl.backends.torch.chunked import make_runner
from rnndsl.backends.torch.program import SequenceProgram, parse_program
from rnndsl.backends.torch.runner import Runner

# How many runners are kept compiled.  A search makes thousands of programs in one process.
MOST_RUNNERS = 256

# Both a program's text and its short handle name its runner.  A text is looked up by its
# handle, so that a program that was saved and read back shares what is compiled already.
# Texts stay, packed to a kilobyte or two, so that a handle is good for as long as the process
# lives; runners are made again from them when they are needed after having been dropped.
_texts: dict[str, bytes] = {}
_runners: OrderedDict[str, Runner] = OrderedDict()
_lock = threading.RLock()


def register(program: SequenceProgram) -> str:
    """A short handle for a program, valid in this process."""
    handle = _handle(program.text)
    with _lock:
        _texts.setdefault(handle, zlib.compress(program.text.encode()))
        if handle not in _runners:
            _keep(handle, program)
    return handle


def find_runner(name: str) -> Runner:
    """The runner of a handle or of a program's text.

    Raises ProgramTextError for a text that is no program, KeyError for an unknown handle.
    """
    handle = name if name.startswith("#") else _handle(name)
    with _lock:
        if handle in _runners:
            _runners.move_to_end(handle)
            return _runners[handle]
        if handle == name:
            return _keep(handle, parse_program(zlib.decompress(_texts[handle]).decode()))
        return find_runner(register(parse_program(name)))


def _keep(handle: str, program: SequenceProgram) -> Runner:
    """A new runner, as the last to be dropped."""
    twin = None
    if program.memory_budget is not None:
        twin = find_runner(register(replace(program, memory_budget=None)))
    _runners[handle] = make_runner(program, twin)
    while len(_runners) > MOST_RUNNERS:
        _runners.popitem(last=False)
    return _runners[handle]


@lru_cache(maxsize=MOST_RUNNERS)
def _handle(text: str) -> str:
    return "#" + hashlib.sha256(text.encode()).hexdigest()[:24]
