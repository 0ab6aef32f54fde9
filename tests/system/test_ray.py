"""On a real Ray cluster of two nodes: the same campaign as here, whatever is lost on the way."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from laws.parts import double

import xplore
from xplore._util.errors import InputError
from xplore.campaign.backends import Ray
from xplore.campaign.backends.ray import WAIT

ray = pytest.importorskip("ray", reason="Ray is not installed")
Rows = dict[str, list[tuple[Any, ...]]]

quiet = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning", "ignore::ResourceWarning")
pytestmark = [pytest.mark.slow, quiet]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """All rows of the campaign as it is computed in this process."""
    with double():
        rows = small.ran(tmp_path_factory.mktemp("here"), dtype=np.float64)
    assert len(rows["seeds"]) == small.SEEDS and len(rows["findings"]) > 50
    return rows


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head and two nodes with a place each; compiled programs are kept between workers."""
    from ray.cluster_utils import Cluster

    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in settings.items():
            patch.setenv(key, value)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            made.add_node(num_cpus=1)
        made.wait_for_nodes()
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def on_it(cluster: Any) -> Iterator[Ray]:
    yield Ray(cluster.address, seconds=0.5)
    ray.shutdown()


def ran(folder: Path, backend: Ray, disturb: Callable[[], bool] | None = None, **how: Any) -> Rows:
    """All rows of the campaign on a cluster; after some seeds it is disturbed, until that worked."""
    running = small.campaign(backend=backend, **how)
    with closing(small.archive(running, folder)) as kept:
        for tally in running.run(kept):
            if disturb is not None and tally.closed > 40 and disturb():
                assert tally.closed < small.SEEDS, "it was disturbed on the way"
                disturb = None
        assert disturb is None, "it was disturbed"
        assert running.tally.closed == small.SEEDS and running.tally.findings == len(list(kept.findings()))
    return small.content(folder)


def at_work(wanted: int = 1) -> list[int]:
    """Processes that run a task now, so many if there are within two seconds."""
    found: list[int] = []
    start = time.monotonic()
    while len(found) < wanted and time.monotonic() - start < 2:
        found = []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if place.read_bytes().startswith(b"ray::_searched"):
                    found.append(int(place.parent.name))
    return found


def test_a_killed_worker_loses_nothing(on_it: Ray, here: Rows, tmp_path: Path) -> None:
    def kill() -> bool:
        for worker in at_work():
            os.kill(worker, signal.SIGKILL)
            return True
        return False

    with double():
        assert ran(tmp_path, on_it, kill, dtype=np.float64) == here


def test_few_fates_differ_in_float32(on_it: Ray, tmp_path: Path) -> None:
    there, before = ran(tmp_path / "there", on_it), small.ran(tmp_path / "here")
    fates = [{row[1]: row[4:] for row in rows["seeds"]} for rows in (there, before)]
    apart = sum(fates[0][seed] != fates[1][seed] for seed in fates[0])
    print(f"{apart} of {len(fates[0])} fates differ")
    assert len(fates[0]) == len(fates[1]) == small.SEEDS and apart <= 0.02 * small.SEEDS


def test_a_killed_driver_goes_on_from_the_archive(
    cluster: Any, on_it: Ray, here: Rows, tmp_path: Path
) -> None:
    settings = {"PYTHONPATH": small.PATH, "JAX_ENABLE_X64": "1"}
    command = [sys.executable, "-m", "small", str(tmp_path), cluster.address]
    child = subprocess.Popen(
        command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    try:
        assert int(child.stdout.readline()) > 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    closed = len(small.content(tmp_path)["seeds"])
    assert 0 < closed < small.SEEDS
    with double():
        assert ran(tmp_path, on_it, dtype=np.float64) == here


def test_a_node_that_leaves_loses_nothing(cluster: Any, on_it: Ray, here: Rows, tmp_path: Path) -> None:
    def leave() -> bool:
        before = at_work(2)
        if len(before) < 2:
            return False
        own = ray.get_runtime_context().get_node_id()  # this process's, which stays
        node = next(node for node in cluster.worker_nodes if node.node_id != own)
        cluster.remove_node(node, allow_graceful=False)
        start = time.monotonic()
        while all(Path(f"/proc/{worker}").exists() for worker in before):
            assert time.monotonic() - start < 60, "its worker goes with it"
            time.sleep(0.1)
        return True

    with double():
        assert ran(tmp_path, on_it, leave, dtype=np.float64) == here


def test_what_fails_on_a_worker_is_told_as_what_it_is(on_it: Ray, tmp_path: Path) -> None:
    from xplore._util.errors import InputError

    def refuses(images: Any) -> Any:
        raise InputError("referee", expected="digits", got="others")

    running = small.campaign(backend=on_it)
    object.__setattr__(running.judge, "reference_model", refuses)
    with pytest.raises(InputError, match="referee: expected digits"):
        for _ in running.run():
            pass


def nobody() -> int:
    """A port at which nobody listens."""
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{}", "localhost:{}", "ray://127.0.0.1:{}", "there", "there:x"]
)
@pytest.mark.parametrize("named", ["argument", "environment"])
def test_an_address_where_nobody_listens_is_refused_at_once(
    address: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(x: Any) -> Any:
        raise AssertionError("a model was asked")

    address = address.format(nobody())
    monkeypatch.setenv("RAY_ADDRESS", address if named == "environment" else "")
    backend, start = Ray(address if named == "argument" else None), time.perf_counter()
    with pytest.raises(InputError, match=re.escape(f"Ray address {address}: expected a cluster")):
        xplore.run([asked, asked], np.zeros((2, 4, 4, 1)), out=tmp_path / "new", backend=backend)
    assert time.perf_counter() - start < 2 * WAIT and not (tmp_path / "new").exists()
