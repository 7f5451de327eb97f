"""A PostgreSQL server and a gRPC proxy of the tests' own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def find_program(name: str) -> str:
    """A program of PostgreSQL, which some systems keep off the path; skips where there is none."""
    found = shutil.which(name)
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    if places:  # next to the other programs that it calls
        return str(places[0])
    if found is None:
        pytest.skip(f"PostgreSQL is not installed: there is no {name}")
    return found


def someone() -> list[str]:
    """How to run a command as somebody else than root, as whom PostgreSQL refuses to run."""
    if os.getuid() != 0:
        return []
    user = next((u for u in ("postgres", "nobody") if _is_user(u)), None)
    if user is None or shutil.which("setpriv") is None:
        pytest.skip("the tests run as root, and there is no other user to run PostgreSQL as")
    found = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups"]


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@contextmanager
def postgresql() -> Iterator[str]:
    """A server with an empty data base; its URL."""
    pytest.importorskip("psycopg2", reason="PostgreSQL needs psycopg2")
    initdb, server = find_program("initdb"), find_program("postgres")
    become = someone()
    folder = Path(tempfile.mkdtemp(prefix="rnndsl-pg-"))
    try:
        if become:
            shutil.chown(folder, int(become[1].partition("=")[2]))
        data, port = folder / "data", free_port()
        environment = {**os.environ, "LC_ALL": "C", "HOME": str(folder)}
        subprocess.run(
            [*become, initdb, "-D", str(data), "-U", "rnndsl", "-A", "trust", "--no-sync"],
            check=True,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", "fsync=off", "-c", "shared_buffers=16MB"]
        process = subprocess.Popen(
            [*become, server, "-D", str(data), *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"postgresql+psycopg2://rnndsl@127.0.0.1:{port}/postgres"
            _wait_for_postgresql(url, process)
            yield url
        finally:
            # By SIGTERM it would wait for the clients, among them this process.
            process.send_signal(signal.SIGINT)
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_postgresql(url: str, process: subprocess.Popen[bytes]) -> None:
    psycopg2 = import_module("psycopg2")
    for _ in range(200):
        assert process.poll() is None, "the server has ended"
        try:
            psycopg2.connect(url.replace("+psycopg2", "")).close()
        except psycopg2.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server does not answer")


@contextmanager
def grpc_proxy(url: str) -> Iterator[str]:
    """Optuna's proxy before a data base; its URL."""
    pytest.importorskip("grpc", reason="the proxy needs grpcio")
    port = free_port()
    program = (
        "import sys, optuna; from optuna.storages import get_storage, run_grpc_proxy_server;"
        "run_grpc_proxy_server(get_storage(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, url, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
