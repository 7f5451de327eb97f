"""A cell as files: a shared library, its weights, a manifest and a loader."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from rnndsl.backends.errors_tvm import OutputNotWritable
from rnndsl.backends.tvm.options import Options
from rnndsl.backends.tvm.program import INFERENCE, LayerProgram, cell_layer, torch_layers
from rnndsl.backends.tvm.signature import Array, Signature
from rnndsl.backends.tvm.toolchain import (
    check_dtype,
    compile_kernels,
    find_linker,
    link_library,
    machine_of,
    require_tvm,
    resolve_target,
)
from rnndsl.cell import Cell
from rnndsl.compiler.pipeline import Observer
from rnndsl.compiler.selection import Selection
from rnndsl.compiler.split import split
from rnndsl.diagnostics import RnndslError

FORMAT = 1
_LOADER = Path(__file__).with_name("standalone.py")


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files of an exported cell; all but the manifest belong to it by their digests."""

    name: str
    library: Path
    weights: Path
    manifest: Path
    loader: Path

    def load(self) -> Any:
        """The exported cell, through the loader that lies beside the library."""
        spec = importlib.util.spec_from_file_location(self.name, self.loader)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.Cell()


def compile_cell(
    cell: Any,
    output_dir: str | Path,
    input_size: int | None = None,
    hidden_size: int | None = None,
    numbers: Mapping[str, int | float] | None = None,
    weights: Mapping[str, Any] | None = None,
    dtype: str = "float32",
    target: str = "native",
    name: str | None = None,
    seed: int = 0,
    passes: Selection = INFERENCE,
    observers: Sequence[Observer] = (),
) -> Artifact:
    """Compile a cell, or a layer with its weights, to a library that runs on its own.

    Args:
        cell: a name of the standard library, the path of a ``.rnn`` file, a Cell, a layer
            made by ``rnndsl.layer`` (one direction; its sizes and weights are taken), or a
            list of such layers of one cell, each reading the output of the one before.
        output_dir: the folder for ``libNAME.so``, ``NAME.weights.npz``, ``NAME.json`` and the
            loader ``NAME.py``; made if missing.  Files of that name are replaced at the end.
        input_size, hidden_size, numbers: sizes of a cell; numbers also name other dimensions.
        weights: arrays by parameter name (for a layer, a state_dict); None draws the initial
            values of a cell from ``seed``.
        dtype: float32 or float64.
        target: ``native``, or a processor that LLVM knows, such as ``x86-64-v3``.
        name: of the files; the cell's name in lower case if left out.
        passes, observers: of the compiler, for a cell; what watches each of them.

    Raises:
        RnndslError: the cell has a mistake, sizes or weights do not fit, TVM or a linker is
            missing, or the folder cannot be written.
    """
    check_dtype(dtype)
    require_tvm()
    machine = resolve_target(target)
    find_linker()
    if isinstance(cell, str | Path | Cell):
        title, layers = cell_layer(
            cell, input_size, hidden_size, numbers or {}, weights, seed, passes, observers
        )
    elif isinstance(cell, list):
        stacks = [torch_layers(layer, weights) for layer in cell]
        title, layers = stacks[0][0], [layer for _, stack in stacks for layer in stack]
    else:
        title, layers = torch_layers(cell, weights)
    stem = _module_name(name or title.lower())
    folder = _folder(Path(output_dir))
    return _write(folder, stem, title, layers, dtype, machine)


def _module_name(name: str) -> str:
    """A name that Python can import, and that hides no module that the loader imports."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    free = plain.isidentifier() and not keyword.iskeyword(plain) and plain not in _IMPORTED
    return plain if free else f"cell_{plain}"


_IMPORTED = sys.stdlib_module_names | {"numpy", "tvm_ffi"}


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(path, error) from error
    return path


def _not_writable(path: Path, error: OSError) -> RnndslError:
    return RnndslError(OutputNotWritable(None, str(path), error.strerror or str(error)))


def _write(
    folder: Path, stem: str, title: str, layers: list[LayerProgram], dtype: str, target: str
) -> Artifact:
    """Make all files in a folder beside the final ones, then move them into their places."""
    artifact = Artifact(
        stem,
        folder / f"lib{stem}.so",  # NAME.so would hide NAME.py from import
        folder / f"{stem}.weights.npz",
        folder / f"{stem}.json",
        folder / f"{stem}.py",
    )
    made: Path | None = None
    try:
        made = Path(tempfile.mkdtemp(dir=folder, prefix=f".{stem}."))
        _fill(made, artifact, title, layers, dtype, target)
        # The manifest last: until then the old one tells that the other files are not its own.
        for path in (artifact.library, artifact.weights, artifact.loader, artifact.manifest):
            os.replace(made / path.name, path)
    except OSError as error:
        raise _not_writable(folder, error) from error
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
    return artifact


def _fill(
    folder: Path,
    artifact: Artifact,
    title: str,
    layers: list[LayerProgram],
    dtype: str,
    target: str,
) -> None:
    from rnndsl.backends.tvm.lower_kernel import lower

    options = Options(machine_of(target))
    kernels = [
        lower(split(layer.program.step), dtype, f"layer{k}", options)
        for k, layer in enumerate(layers)
    ]
    library, weights = folder / artifact.library.name, folder / artifact.weights.name
    link_library(compile_kernels(kernels, target), library)
    stored: dict[str, Array] = {}
    entries = [
        _layer_entry(k, kernel.signature, layer, stored)
        for k, (kernel, layer) in enumerate(zip(kernels, layers, strict=True))
    ]
    with weights.open("wb") as file:
        np.savez(file, **stored)  # type: ignore[arg-type]
    manifest = {
        "format": FORMAT,
        "name": artifact.name,
        "cell": title,
        "dtype": dtype,
        "target": target,
        "library": _file_entry(library),
        "weights": _file_entry(weights),
        "layers": entries,
        "versions": {
            package: _version(package)
            for package in ("rnndsl", "apache-tvm", "apache-tvm-ffi", "numpy")
        },
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / artifact.manifest.name).write_text(text, encoding="utf-8")
    shutil.copyfile(_LOADER, folder / artifact.loader.name)


def _layer_entry(
    index: int, signature: Signature, layer: LayerProgram, stored: dict[str, Array]
) -> dict[str, Any]:
    """What the manifest says of a layer; puts its arrays into ``stored``."""
    prepared = layer.prepared()
    weights, states = [], []
    for weight in signature.weights:
        key = f"{index}.weight.{weight.name}"
        stored[key] = weight.pack(prepared[weight.source], signature.dtype)
        weights.append({"name": weight.name, "key": key, "shape": list(weight.shape)})
    for state in signature.states:
        key = f"{index}.state.{state.name}"
        stored[key] = np.asarray(prepared[f"init.{state.name}"], signature.dtype)
        states.append({"name": state.name, "key": key, "shape": list(state.shape)})
    return {
        "symbol": signature.symbol,
        "inputs": [asdict(stream) for stream in signature.inputs],
        "weights": weights,
        "states": states,
        "outputs": [asdict(stream) for stream in signature.outputs],
        "workspace": asdict(signature.workspace),
        "parameters": sorted(layer.params),
    }


def _file_entry(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
