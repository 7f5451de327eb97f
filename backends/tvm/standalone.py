"""Runs the compiled cell that lies beside this file: libNAME.so, NAME.weights.npz, NAME.json.

It needs numpy and apache-tvm-ffi, nothing else.

    from NAME import Cell
    cell = Cell()
    y, states = cell.run(x)               # x [T, B, D]
    y_t, states = cell.step(x_t, states)  # x_t [B, D], for streaming

States are a tuple in order of declaration, each [layers, B, *shape]; a single state is passed
bare.  They are given back, never changed in place.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
_ALIGNMENT = 64


def _import_tvm_ffi() -> Any:
    """tvm_ffi, without torch: it imports torch where that is installed, which takes seconds,
    for conversions that nothing here uses."""
    keep_out = "torch" not in sys.modules and "tvm_ffi" not in sys.modules
    if keep_out:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        import tvm_ffi
    finally:
        if keep_out:
            del sys.modules["torch"]
    return tvm_ffi


tvm_ffi = _import_tvm_ffi()


class Cell:
    """A compiled stack of layers of one cell.

    ``names`` are the inputs of the lowest layer, the main one first; ``state_names`` the
    states; ``manifest`` is all that the export recorded.  One object serves one thread at a
    time; objects are cheap.
    """

    def __init__(self, manifest: str | Path | None = None) -> None:
        path = Path(manifest or Path(__file__).with_suffix(".json"))
        self._path = path.absolute()
        try:
            self.manifest = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not a whole manifest: {error}") from error
        if self.manifest["format"] != FORMAT:
            raise ValueError(f"{path} has format {self.manifest['format']}, expected {FORMAT}")
        library = _checked(path.parent, self.manifest["library"])
        self._module = tvm_ffi.load_module(str(library))
        self.dtype = np.dtype(self.manifest["dtype"])
        with np.load(_checked(path.parent, self.manifest["weights"])) as stored:
            self._layers = [
                _Layer(self._module, entry, stored, self.dtype) for entry in self.manifest["layers"]
            ]
        self.names = tuple(s["name"] for s in self._layers[0].entry["inputs"])
        self.state_names = tuple(s["name"] for s in self._layers[0].entry["states"])

    def __reduce__(self) -> Any:
        """Copies and pickles load the same files again."""
        return type(self), (self._path,)

    def run(self, x: Any, states: Any = None, **inputs: Any) -> tuple[np.ndarray, Any]:
        """A whole sequence: ``x`` and the other inputs [T, B, *shape] to ``(y, states)``.

        Without ``states`` the sequence starts where the cell declares.  ValueError says
        which array does not fit.
        """
        streams = [x, *self._others(inputs)]
        first = self._layers[0]
        arrays = [
            _fitting(stream, declared, self.dtype, ("T", "B"))
            for stream, declared in zip(streams, first.entry["inputs"], strict=True)
        ]
        lead = arrays[0].shape[:2]
        if 0 in lead:
            raise ValueError(f"input {self.names[0]} is empty: T, B = {lead}")
        for array, name in zip(arrays, self.names, strict=True):
            if array.shape[:2] != lead:
                raise ValueError(f"input {name} has T, B = {array.shape[:2]}, expected {lead}")
        carried = self._split(states, lead[1])
        main, *others = arrays
        for layer, own in zip(self._layers, carried, strict=True):
            main = layer.run([main, *others], own)
        return main, self._join(carried)

    def step(self, x: Any, states: Any = None, **inputs: Any) -> tuple[np.ndarray, Any]:
        """One time step: ``x`` and the other inputs [B, *shape] to ``(y, states)``."""
        longer = {name: np.asarray(value)[None] for name, value in inputs.items()}
        y, carried = self.run(np.asarray(x)[None], states, **longer)
        return y[0], carried

    def initial_states(self, batch: int) -> Any:
        """The states before the first step, for ``batch`` examples."""
        return self._join(self._split(None, batch))

    def _others(self, inputs: dict[str, Any]) -> list[Any]:
        wanted = self.names[1:]
        unknown = sorted(set(inputs) - set(wanted))
        missing = [name for name in wanted if name not in inputs]
        if unknown or missing:
            raise ValueError(f"missing inputs: {missing}; unknown inputs: {unknown}")
        return [inputs[name] for name in wanted]

    def _split(self, states: Any, batch: int) -> list[list[np.ndarray]]:
        """For each layer its states [B, *shape], in fresh memory."""
        if states is None:
            return [layer.initial(batch) for layer in self._layers]
        given: Sequence[Any] = (states,) if len(self.state_names) == 1 else states
        if not isinstance(given, (tuple, list)) or len(given) != len(self.state_names):
            raise ValueError(f"expected a tuple of the states {', '.join(self.state_names)}")
        checked = [
            _fitting(state, declared, self.dtype, ("layers", "B"))
            for state, declared in zip(given, self._layers[0].entry["states"], strict=True)
        ]
        for state, name in zip(checked, self.state_names, strict=True):
            if state.shape[:2] != (len(self._layers), batch):
                lead = (len(self._layers), batch)
                raise ValueError(f"state {name} has {state.shape[:2]}, expected layers, B = {lead}")
        return [[state[k].copy() for state in checked] for k in range(len(self._layers))]

    def _join(self, carried: list[list[np.ndarray]]) -> Any:
        if len(self._layers) == 1:
            joined = tuple(state[None] for state in carried[0])
        else:
            joined = tuple(np.stack(states) for states in zip(*carried, strict=True))
        return joined[0] if len(joined) == 1 else joined


class _Layer:
    """One kernel with its weights."""

    def __init__(self, module: Any, entry: dict[str, Any], stored: Any, dtype: np.dtype) -> None:
        self.entry = entry
        self._dtype = dtype
        self._function = module.get_function(entry["symbol"])
        self._weights = [_aligned_copy(stored[weight["key"]]) for weight in entry["weights"]]
        self._initial = [stored[state["key"]] for state in entry["states"]]
        self._workspace = _aligned((0,), dtype)

    def initial(self, batch: int) -> list[np.ndarray]:
        return [np.repeat(state[None], batch, axis=0) for state in self._initial]

    def run(self, inputs: list[np.ndarray], states: list[np.ndarray]) -> np.ndarray:
        """The output [T, B, *shape]; ``states`` take their final values."""
        steps, batch = inputs[0].shape[:2]
        outputs = [
            _aligned((steps, batch, *o["shape"]), self._dtype) for o in self.entry["outputs"]
        ]
        size = self.entry["workspace"]["fixed"] + self.entry["workspace"]["per_row"] * steps * batch
        if self._workspace.size != size:
            self._workspace = _aligned((size,), self._dtype)
        self._function(*inputs, *self._weights, *states, *outputs, self._workspace)
        return outputs[0]


def _fitting(
    value: Any, declared: dict[str, Any], dtype: np.dtype, lead: tuple[str, ...]
) -> np.ndarray:
    """The value as a dense array that a kernel may be given; ValueError unless it fits."""
    array = np.asarray(value)
    shape = tuple(declared["shape"])
    if array.ndim != len(lead) + len(shape) or array.shape[len(lead) :] != shape:
        expected = ", ".join([*lead, *map(str, shape)])
        raise ValueError(f"{declared['name']} has shape {array.shape}, expected [{expected}]")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{declared['name']} has type {array.dtype}, expected {dtype}")
    return np.require(array, dtype, ["C", "W"])


def _checked(folder: Path, entry: dict[str, str]) -> Path:
    """The path of a file that belongs to the manifest; ValueError if it has changed."""
    path = folder / entry["file"]
    if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
        raise ValueError(f"{path} is not the file that was exported with the manifest")
    return path


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uninitialised memory that starts at a cache line: fastest, though not required."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def _aligned_copy(array: np.ndarray) -> np.ndarray:
    copy = _aligned(array.shape, array.dtype)
    copy[...] = array
    return copy
