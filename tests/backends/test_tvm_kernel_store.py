"""Compiled kernels are kept on disk, and only whole, fitting ones are taken from there."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tvm", reason="TVM is not installed")

from rnndsl.backends.tvm import kernel_key, making, runtime
from rnndsl.backends.tvm.kernel_store import KernelStore
from rnndsl.backends.tvm.signature import Packing, Signature, Stream, Weight, Workspace
from rnndsl.backends.tvm.toolchain import has_linker
from rnndsl.compiler.cost import StageWork, Work
from rnndsl.compiler.plan import Plan
from rnndsl.compiler.split import split
from rnndsl.compiler.text import parse_graph

ROOT = Path(__file__).resolve().parents[2]
TEXT = """\
graph counting {
  input x: batch[3]
  state h: batch[3]
  %2: batch[3] = add(x, h)
  %3: batch[3] = tanh(%2)
  output y = %3
  state h = %3
}
"""


def plan(text: str = TEXT) -> Plan:
    return split(parse_graph(text))


_PLAN = plan()


def result() -> np.ndarray:
    """What a newly made kernel of the plan computes."""
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 2, 3)
    found = runtime.compile_plan(plan())
    return found({"x": x}, {"h": np.zeros((2, 3), np.float32)}, {}).outputs["y"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RNNDSL_CACHE", str(tmp_path))
    return tmp_path / "kernels"


def fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def library_of(store: KernelStore, key: str, size: int = 100) -> Path:
    entry = store.keep(key, {"size": size}, lambda path: fill(path, bytes(size)))
    assert entry is not None
    return entry.library


def test_an_entry_is_found_as_it_was_kept(tmp_path: Path) -> None:
    store = KernelStore(tmp_path / "deep" / "folder")
    assert store.find("a") is None
    library_of(store, "a", 7)
    found = store.find("a")
    assert found is not None
    assert found.about == {"size": 7}
    assert found.library.read_bytes() == bytes(7)
    assert store.find("b") is None


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "a list", "missing"])
@pytest.mark.parametrize("part", ["library", "index"])
def test_a_damaged_entry_is_logged_and_removed(
    tmp_path: Path, part: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = KernelStore(tmp_path)
    path = library_of(store, "a") if part == "library" else tmp_path / "a.json"
    library_of(store, "a")
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        damaged = {
            "cut": content[:-1],
            "changed": b"!" + content[1:],
            "emptied": b"",
            "a list": b"[1]",
        }
        path.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        assert store.find("a") is None
    if (part, damage) != ("index", "missing"):
        assert "compiled again" in caplog.text
        assert not list(tmp_path.iterdir())
    library_of(store, "a")
    assert store.find("a") is not None


def test_a_digest_that_was_changed_with_the_rest_is_noticed(tmp_path: Path) -> None:
    store = KernelStore(tmp_path)
    library_of(store, "a")
    index = tmp_path / "a.json"
    index.write_text(index.read_text().replace('"size": 100', '"size": 101'))
    assert store.find("a") is None


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    store = KernelStore(tmp_path, most_bytes=4500)
    now = time.time()
    for age, key in enumerate(["new", "old", "older"]):
        library_of(store, key, 1000)
        for path in tmp_path.glob(f"{key}.*"):
            os.utime(path, (now - 100 * age, now - 100 * age))
    assert store.find("older") is not None  # using it makes it the newest
    library_of(store, "last", 1500)
    assert store.find("old") is None
    assert all(store.find(key) is not None for key in ("new", "older", "last"))


def test_an_entry_larger_than_the_limit_is_kept_alone(tmp_path: Path) -> None:
    store = KernelStore(tmp_path, most_bytes=500)
    library_of(store, "a")
    library_of(store, "b", 1000)
    assert store.find("a") is None
    assert store.find("b") is not None


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    store = KernelStore(blocked)
    assert store.find("a") is None
    assert store.keep("a", {}, lambda path: None) is None
    assert caplog.text.count("nothing can be kept") == 1


def test_a_signature_survives_json() -> None:
    signature = Signature(
        "f",
        "float32",
        (Stream("x", (3,)),),
        (Weight("w", "w", (2, 3), Packing((1, 0), 0, 4)), Weight("b", "b", ())),
        (Stream("h", ()),),
        (),
        (Stream("t", (1, 2)),),
        Workspace(3, 4),
        (StageWork(True, (Work(shared=5), Work(products=6)), (True, False), 2),),
    )
    assert Signature.from_json(signature.to_json()) == signature


def test_the_key_tells_kernels_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(found: Plan = _PLAN, dtype: str = "float32", choice: bool = True) -> str:
        return kernel_key.kernel_key(found, dtype, (choice,))

    keys = [
        key(),
        key(plan(TEXT.replace("3]", "4]"))),
        key(plan(TEXT.replace("tanh", "exp"))),
        key(replace(plan(), reverse=True)),
        key(replace(plan(), stages=())),
        key(dtype="float64"),
        key(choice=False),
    ]
    for name in ("processor", "versions", "sources"):
        with monkeypatch.context() as patch:
            patch.setattr(kernel_key, name, lambda: "another")
            keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


@pytest.mark.parametrize("wanted", ["off", "0", ""])
def test_the_user_may_want_no_folder(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNDSL_CACHE", wanted)
    assert kernel_key.cache_folder() is None
    assert result().shape == (2, 2, 3)


def test_the_usual_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RNNDSL_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernel_key.cache_folder() == tmp_path / "rnndsl" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kernel_key.cache_folder() == tmp_path / ".cache" / "rnndsl" / "kernels"


def test_a_damaged_library_is_compiled_again(folder: Path) -> None:
    expected = result()
    (library,) = folder.glob("*.so")
    library.unlink()
    library.write_bytes(b"not a library")
    np.testing.assert_array_equal(result(), expected)
    (again,) = folder.glob("*.so")
    assert again.stat().st_size > 1000


def test_a_library_that_does_not_load_is_compiled_again(folder: Path) -> None:
    expected = result()
    key = kernel_key.kernel_key(plan(), "float32", (True, False))
    KernelStore(folder).keep(key, {"signature": {}}, lambda path: fill(path, b"?"))
    np.testing.assert_array_equal(result(), expected)


@pytest.mark.skipif(not has_linker(), reason="no C compiler")
def test_without_a_linker_kernels_stay_in_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = result()
    for path in folder.iterdir():
        path.unlink()
    monkeypatch.setattr(making, "has_linker", lambda: False)
    np.testing.assert_array_equal(result(), expected)
    assert not list(folder.iterdir())


SCRIPT = """
import sys, torch, rnndsl
torch.manual_seed(0)
layer = rnndsl.layer("gru", 3, 5, backend="tvm")
x = torch.linspace(-1, 1, 24).reshape(4, 2, 3).requires_grad_()
y, _ = layer(x)
y.sum().backward()
print(*(name in sys.modules for name in ("tvm", "torch._dynamo")))
print(y.detach().sum().item(), x.grad.sum().item())
"""


def run_script(cache: Path, script: str = SCRIPT) -> list[str]:
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "RNNDSL_CACHE": str(cache)},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return found.stdout.split()


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A cache, and what the script printed that had it first."""
    cache = tmp_path_factory.mktemp("cache")
    return cache, run_script(cache)


@pytest.mark.skipif(not has_linker(), reason="no C compiler")
def test_a_later_process_trains_without_loading_a_compiler(
    first_run: tuple[Path, list[str]],
) -> None:
    """Of TVM or of PyTorch: that takes seconds."""
    cache, first = first_run
    later = run_script(cache)
    assert first[0] == "True" and later[:2] == ["False", "False"]
    assert first[2:] == later[2:]


@pytest.mark.skipif(not has_linker(), reason="no C compiler")
@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files")
def test_where_no_file_can_be_written_kernels_stay_in_memory(
    tmp_path: Path, first_run: tuple[Path, list[str]]
) -> None:
    """LLVM would end the process, in the middle of somebody's training."""
    limited = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (3000, 3000))\n"
    _, first = first_run
    assert run_script(tmp_path, limited + SCRIPT)[2:] == first[2:]


def test_processes_that_start_together_all_find_their_kernels(tmp_path: Path) -> None:
    found: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: found.append(run_script(tmp_path))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len({tuple(numbers[2:]) for numbers in found}) == 1
    assert not list((tmp_path / "kernels").glob(".new-*"))
