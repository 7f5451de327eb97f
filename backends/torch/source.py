"""Turn generated source text into a function whose tracebacks show that text."""

from __future__ import annotations

import itertools
import linecache
import weakref
from collections.abc import Callable
from typing import Any

HEADER = "import math\n\nimport torch\nimport torch.nn.functional as F\n\n\n"

_counter = itertools.count(1)


def load_function(source: str, name: str) -> Callable[..., Any]:
    """Compile ``source`` (a whole module) and return its function ``name``."""
    filename = f"<rnndsl {name} {next(_counter)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {}
    exec(compile(source, filename, "exec"), namespace)  # noqa: S102  # code that we generated
    function: Callable[..., Any] = namespace[name]
    weakref.finalize(function, linecache.cache.pop, filename, None)
    return function
