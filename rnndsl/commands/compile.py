"""``rnndsl compile``: a cell, or a trained model, to a library that runs by itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from rnndsl.commands.pass_options import add_pass_options, selection_of
from rnndsl.commands.settings import add_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cell",
        metavar="CELL",
        help="a name in the library, a .rnn file (FILE.rnn:NAME for one of its cells), or the "
        "folder of a run of `rnndsl train`",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=Path("."), help="where to write (default .)"
    )
    parser.add_argument("--input", metavar="N", type=int, help="D (default 64)")
    parser.add_argument("--hidden", metavar="N", type=int, help="H (default 64)")
    add_settings(parser)
    add_pass_options(parser, "final")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument(
        "--target",
        default="native",
        help="native, or a processor that LLVM knows, such as x86-64-v3 (default native)",
    )
    parser.add_argument("--seed", type=int, help="of a cell's initial weights (default 0)")


def run(args: argparse.Namespace) -> int:
    """Write library, weights, manifest and loader; say how to use them."""
    from rnndsl.backends.tvm import compile_cell
    from rnndsl.backends.tvm.program import INFERENCE
    from rnndsl.compiler.pipeline import dumping

    passes = selection_of(args)
    extra: list[Path] = []
    if Path(args.cell).is_dir():
        from rnndsl.training.export import export_trained

        _refuse_for_a_run(args)
        artifact, text = export_trained(args.cell, args.out, args.dtype, args.target)
        extra = [text]
    else:
        artifact = compile_cell(
            args.cell,
            args.out,
            _size(args.cell, "D", args.input),
            _size(args.cell, "H", args.hidden),
            dict(args.set),
            dtype=args.dtype,
            target=args.target,
            seed=args.seed or 0,
            passes=passes or INFERENCE,
            observers=() if args.dump is None else (dumping(args.dump),),
        )
    for path in (artifact.library, artifact.weights, artifact.loader, artifact.manifest, *extra):
        print(f"{path}  ({path.stat().st_size:,} bytes)")
    print(f"run it with numpy and apache-tvm-ffi alone: from {artifact.name} import Cell")
    return 0


def _refuse_for_a_run(args: argparse.Namespace) -> None:
    """RnndslError (E0805) for what is fixed in a trained model."""
    from rnndsl.diagnostics import RnndslError
    from rnndsl.errors_show import FixedByRun

    given = {
        "--input": args.input is not None,
        "--hidden": args.hidden is not None,
        "--set": bool(args.set),
        "--seed": args.seed is not None,
        "--passes": args.passes is not None,
        "--stop-after": args.stop_after is not None,
        "--dump": args.dump is not None,
    }
    for option, is_given in given.items():
        if is_given:
            raise RnndslError(FixedByRun(None, option))


def _size(cell: str, dimension: str, given: int | None) -> int | None:
    """The size of a dimension, by default the usual one; None if the cell has none such."""
    from rnndsl.cell import load

    if given is not None:
        return given
    return 64 if dimension in {p.name for p in load(cell).definition.parameters} else None
