"""A trained model as files that run without torch and rnndsl."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from rnndsl.atomic import write_atomically
from rnndsl.backends.tvm import Artifact, compile_cell
from rnndsl.training.generate import load_trained


def export_trained(
    run: str | Path, folder: Path, dtype: str = "float32", target: str = "native"
) -> tuple[Artifact, Path]:
    """Compile the recurrent layers of a trained model; store the rest of it beside them.

    The second path, ``NAME.text.npz``, holds what turns text into the library's input and its
    output into text: ``tokens`` [V], ``embedding`` [V, E], ``decoder`` [V, H] and ``bias``
    [V], so that the scores of the next token are ``decoder @ y + bias``.  RnndslError as
    :func:`rnndsl.compile_cell` and ``load_trained``.
    """
    trained = load_trained(run)
    model = trained.model
    artifact = compile_cell(list(model.layers), folder, dtype=dtype, target=target)
    decoder = _array(model.decoder.weight)
    if isinstance(model.projection, nn.Linear):
        decoder = decoder @ _array(model.projection.weight)
    arrays = {
        "tokens": np.array(trained.vocabulary.tokens),
        "embedding": _array(model.embedding.weight),
        "decoder": decoder,
        "bias": _array(model.decoder.bias),
    }
    path = folder / f"{artifact.name}.text.npz"
    write_atomically(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
    return artifact, path


def _array(tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return tensor.detach().cpu().numpy()
