"""The root folders are complete, linked and only ever imported as rnndsl.*."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONF = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def packages_below(name: str, folder: Path) -> set[str]:
    found = {name}
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink() and (child / "__init__.py").exists():
            found |= packages_below(f"{name}.{child.name}", child)
    return found


def test_every_package_is_listed() -> None:
    found: set[str] = set()
    for name, folder in CONF["package-dir"].items():
        found |= packages_below(name, ROOT / folder)
    assert set(CONF["packages"]) == found


@pytest.mark.parametrize("name", [n for n in CONF["package-dir"] if "." in n])
def test_link_points_at_the_root_folder(name: str) -> None:
    link = ROOT.joinpath(*name.split("."))
    assert link.resolve() == ROOT / CONF["package-dir"][name]


def test_every_data_file_is_packaged() -> None:
    packaged = {
        path.resolve()
        for name, patterns in CONF["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*name.split(".")).glob(pattern)
    }
    for folder in CONF["package-dir"].values():
        for path in (ROOT / folder).rglob("*"):
            inside_link = any(parent.is_symlink() for parent in path.parents)
            is_data = path.suffix in {".rnn", ".lark", ".txt", ".md"}
            if is_data and not inside_link:
                assert path in packaged, f"{path} is missing from package-data"


def test_import_is_light_and_not_literal() -> None:
    code = (
        "import rnndsl, sys; bad = {'torch', 'tvm', 'optuna', 'networkx', 'lark', 'compiler',"
        " 'search', 'backends'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_heavy_libraries_are_imported_in_their_own_rooms_only() -> None:
    rooms = {
        "torch": ("backends/torch", "rnndsl/bench", "rnndsl/training"),
        "tvm": ("backends/tvm",),
        "tvm_ffi": ("backends/tvm",),
        "optuna": ("search",),
        "lark": ("rnndsl/parsing",),
        "networkx": ("compiler",),
    }
    for folder in CONF["package-dir"].values():
        for path in (ROOT / folder).rglob("*.py"):
            if any(parent.is_symlink() for parent in path.parents):
                continue
            where = path.relative_to(ROOT).as_posix()
            for line in path.read_text().splitlines():
                words = line.split()
                if len(words) < 2 or words[0] not in {"import", "from"}:
                    continue
                library = words[1].split(".")[0].rstrip(",")
                if library in rooms:
                    assert where.startswith(rooms[library]), f"{where} imports {library}"
