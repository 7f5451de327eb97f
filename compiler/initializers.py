"""Initial values of parameters, in NumPy: one function per initialiser, in a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from rnndsl.checking.inits import INITS
from rnndsl.params import ParamSpec

Array = NDArray[np.float64]
Shape = tuple[int, ...]

# (generator, shape, numbers, hidden size) to an array; hidden is the size that the default reads.
Initializer = Callable[[np.random.Generator, Shape, Sequence[float], int], Array]


def initialize(
    params: Iterable[ParamSpec],
    sizes: Mapping[str, int],
    seed: int | np.random.Generator = 0,
) -> dict[str, Array]:
    """Arrays for the parameters, float64, by name.

    ``sizes`` give the open dimensions.  The same seed gives the same arrays; each parameter
    draws from a stream of its own when ``seed`` is a number, so that adding a parameter to a
    cell leaves the others alone.  DimError when a dimension is open or not whole.
    """
    return {spec.name: initial_array(spec, sizes, seed) for spec in params}


def initial_array(
    spec: ParamSpec, sizes: Mapping[str, int], seed: int | np.random.Generator = 0
) -> Array:
    """The array of one parameter; see :func:`initialize`."""
    rng = _own_stream(seed, spec.name) if isinstance(seed, int) else seed
    shape = param_shape(spec, sizes)
    hidden = int(spec.hidden.bind(sizes)) if spec.hidden is not None else _fans(shape)[0]
    array = INITIALIZERS[spec.init.name](rng, shape, spec.init.args, max(hidden, 1))
    return np.ascontiguousarray(array, dtype=np.float64).reshape(shape)


def _own_stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, *name.encode()])


def param_shape(spec: ParamSpec, sizes: Mapping[str, int]) -> Shape:
    """The shape in numbers; DimError when a dimension is open or not whole."""
    return tuple(int(d.bind(sizes)) for d in spec.shape)


def count_parameters(
    params: Iterable[ParamSpec], sizes: Mapping[str, int], trainable_only: bool = False
) -> int:
    """How many numbers the parameters hold."""
    kept = [spec for spec in params if spec.trainable or not trainable_only]
    return sum(prod(param_shape(spec, sizes)) for spec in kept)


def _fans(shape: Shape) -> tuple[int, int]:
    """How many values one result sums over, and how many results one value reaches."""
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    front = prod(shape[:-2])
    return shape[-1] * front, shape[-2] * front


def _default_uniform(
    rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int
) -> Array:
    bound = 1 / np.sqrt(hidden)
    return rng.uniform(-bound, bound, shape)


def _filled(value: float) -> Initializer:
    return lambda rng, shape, args, hidden: np.full(shape, value)


def _constant(rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int) -> Array:
    return np.full(shape, args[0])


def _uniform(rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int) -> Array:
    low, high = args
    return low + (high - low) * rng.random(shape)


def _normal(rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int) -> Array:
    mean, std = args
    return mean + std * rng.standard_normal(shape)


def _orthogonal(
    rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int
) -> Array:
    """Orthonormal rows, or columns where there are more rows (Saxe et al. 2014)."""
    rows = shape[0] if shape else 1
    columns = prod(shape[1:])
    gaussian = rng.standard_normal((max(rows, columns), min(rows, columns)))
    basis, triangle = np.linalg.qr(gaussian)
    basis = basis * np.where(np.diag(triangle) < 0, -1.0, 1.0)  # makes the draw uniform
    matrix: Array = args[0] * (basis if rows >= columns else basis.T)
    return matrix.reshape(shape)


def _block_orthogonal(
    rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int
) -> Array:
    """Groups of rows, each orthogonal by itself: one block for each gate."""
    blocks = max(1, int(args[0]))
    if shape[0] % blocks:
        raise ValueError(f"block_orthogonal: {shape[0]} rows are not {blocks} equal blocks")
    block = (shape[0] // blocks, *shape[1:])
    return np.concatenate([_orthogonal(rng, block, args[1:], hidden) for _ in range(blocks)])


def _identity(rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int) -> Array:
    if len(shape) < 2:
        return np.full(shape, args[0])
    return np.broadcast_to(args[0] * np.eye(shape[-2], shape[-1]), shape)


def _scaled(kind: str, fan: str) -> Initializer:
    """Glorot, He and LeCun: variance gain**2 over a fan, uniform or normal."""

    def initializer(
        rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int
    ) -> Array:
        fan_in, fan_out = _fans(shape)
        count = fan_in if fan == "in" else (fan_in + fan_out) / 2
        std = (args[0] if args else 1.0) / np.sqrt(max(count, 1))
        if kind == "normal":
            return np.asarray(std * rng.standard_normal(shape))
        return np.asarray(np.sqrt(3.0) * std * (2 * rng.random(shape) - 1))

    return initializer


def _linspace(rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int) -> Array:
    line = np.linspace(args[0], args[1], shape[-1] if shape else 1)
    return np.broadcast_to(line if shape else line[0], shape)


def _log_uniform(
    rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int
) -> Array:
    low, high = np.log(args[0]), np.log(args[1])
    return np.asarray(np.exp(low + (high - low) * rng.random(shape)))


def _signs(rng: np.random.Generator, shape: Shape, args: Sequence[float], hidden: int) -> Array:
    return np.where(rng.random(shape) < 0.5, -1.0, 1.0)


INITIALIZERS: dict[str, Initializer] = {
    "default_uniform": _default_uniform,
    "zeros": _filled(0.0),
    "ones": _filled(1.0),
    "constant": _constant,
    "uniform": _uniform,
    "normal": _normal,
    "orthogonal": _orthogonal,
    "identity": _identity,
    "xavier_uniform": _scaled("uniform", "both"),
    "xavier_normal": _scaled("normal", "both"),
    "kaiming_uniform": _scaled("uniform", "in"),
    "kaiming_normal": _scaled("normal", "in"),
    "lecun_uniform": _scaled("uniform", "in"),
    "lecun_normal": _scaled("normal", "in"),
    "linspace": _linspace,
    "log_uniform": _log_uniform,
    "signs": _signs,
    "block_orthogonal": _block_orthogonal,
}

if INITIALIZERS.keys() != INITS.keys():  # the language's table and this one name the same things
    raise AssertionError(INITIALIZERS.keys() ^ INITS.keys())
