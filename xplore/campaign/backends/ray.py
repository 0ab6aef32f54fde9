"""A campaign on a Ray cluster: tasks of seeds, sized to seconds of work, wherever Ray has room.

What every task needs (models, parts, numbers) is put into Ray's object store once; a worker process compiles
it once, too. Ray decides where a task runs and starts it again where a worker or a node was lost. A task may
so run twice, late, or in any order: aims follow rounds, and what came is kept by this process alone.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlsplit

import jax
import numpy as np
from jaxtyping import Bool, Shaped

from xplore._util.errors import InputError, MissingExtraError, one_line
from xplore._util.jax_settings import own_settings
from xplore.campaign.judge import Judge
from xplore.campaign.messages import Seed, WorkItem, WorkResult
from xplore.campaign.settings import RunOptions
from xplore.campaign.worker import Worker
from xplore.engine.devices import compilation_cache
from xplore.engine.step import Method
from xplore.evaluation.sources import Block

RETRIES = 10
"""Losses of a task's worker after which it is given up: a model may crash its process each time."""
AHEAD = 2
"""Tasks for each place that a task can run at: one runs, one waits."""
WAIT = 5.0
"""Seconds until a cluster has to take a connection."""
CLIENT_PORT = 10001
"""Of an address that begins with ray://, where it names none."""
_held: dict[str, Worker] = {}


@dataclass(frozen=True)
class Ray:
    """Computes campaigns on a Ray cluster: `xplore.run(..., backend=Ray(address="auto"))`.

    `address` is a cluster's, None the one of RAY_ADDRESS, or a new one on this machine. A task takes `cpus`
    and `gpus` (None: one where the cluster has any), and about so many `seconds`. A round is cut into tasks,
    so that `round_size` must be the work of many.

    >>> Ray(address="auto", cpus=2)
    Ray(address='auto', cpus=2, gpus=None, seconds=5.0)

    Raises:
        MissingExtraError: Ray is not installed.
    """

    address: str | None = None
    cpus: float = 1
    gpus: float | None = None
    seconds: float = 5.0

    @property
    def threads(self) -> int:
        """Those that a worker computes with, where that is a CPU."""
        return max(1, int(self.cpus))

    def check(self) -> None:
        """Is there a cluster to connect to? Asked before anything else is done.

        Raises:
            InputError: nobody listens at the address: Ray would wait for minutes, and end the process.
        """
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        if _imported().is_initialized() or address in ("auto", "local"):
            return
        fault = ""
        try:
            place = urlsplit(address if "://" in address else f"//{address}")
            port = place.port or (CLIENT_PORT if place.scheme == "ray" else None)
            if not place.hostname or port is None:
                fault = "no host and port"
            else:
                socket.create_connection((place.hostname, port), timeout=WAIT).close()
        except (OSError, ValueError) as error:
            fault = one_line(error)
        if fault:
            raise _no_cluster(address, fault)

    def __call__(
        self, method: Method, judge: Judge, plan: RunOptions, keep: Callable[[WorkResult], None]
    ) -> Cluster:
        return Cluster(self, method, judge, plan, keep)


class Cluster:
    """The tasks of one campaign that wait or run on a cluster."""

    def __init__(
        self, how: Ray, method: Method, judge: Judge, plan: RunOptions, keep: Callable[[WorkResult], None]
    ) -> None:
        self._ray = ray = _imported()
        self._how, self._plan, self._keep = how, plan, keep
        self._started = not ray.is_initialized()
        if self._started:
            with warnings.catch_warnings():  # that processes are started beside JAX's threads
                warnings.simplefilter("ignore", RuntimeWarning)
                started = {} if how.address else {"include_dashboard": False}
                try:
                    ray.init(how.address, log_to_driver=False, logging_level="error", **started)
                except (Exception, SystemExit) as error:
                    raise _no_cluster(how.address or "local", one_line(error)) from error
        has_gpus = bool(ray.cluster_resources().get("GPU"))
        self._needs = {"CPU": how.cpus, "GPU": float(has_gpus) if how.gpus is None else how.gpus}
        self._campaign = uuid.uuid4().hex
        self._given: Any = (method, judge, plan)
        self._size = plan.lanes
        self._waiting: deque[WorkItem] = deque()
        self._unfinished: list[Seed] = []
        self._running: dict[Any, WorkItem] = {}
        self._coverage: dict[int, Any] = {}
        self.load = 0

    @property
    def lanes(self) -> int:
        return self._places() * self._size

    def _places(self) -> int:
        """How many tasks can run at once, on the cluster as it is now."""
        has = self._ray.cluster_resources()
        return max(1, int(min(has.get(kind, 0) / need for kind, need in self._needs.items() if need)))

    def warm_up(
        self, first: Shaped[np.ndarray, "1 *x"], coverage: tuple[Bool[np.ndarray, " _"], ...]
    ) -> None:
        """Give the workers what all tasks need, and have it compiled on as many as there are."""
        ray = self._ray
        config: Any = jax.config
        on_host = jax.tree.map(np.asarray, self._given[0])
        self._given = ray.put((on_host, *self._given[1:], first, coverage))
        settings = {
            "JAX_ENABLE_X64": str(int(config.jax_enable_x64)),
            "NPROC": str(self._how.threads),  # XLA's threads
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        if precision := config.jax_default_matmul_precision:
            settings["JAX_DEFAULT_MATMUL_PRECISION"] = precision
        options = {
            "num_cpus": self._needs["CPU"],
            "num_gpus": self._needs["GPU"],
            "max_retries": RETRIES,
            "max_calls": 0,  # a process goes on, with what it has compiled
            "runtime_env": {"env_vars": settings},
        }
        self._remote = {f: ray.remote(**options)(f) for f in (_warm, _searched)}
        places = [self._remote[_warm].remote(self._campaign, [self._given]) for _ in range(self._places())]
        self._get(places)

    def open(self, task: WorkItem) -> None:
        """Take a round; it is cut into tasks as they start, by the speed that was seen until then."""
        self.load += len(task.block) - len(task.closed)
        self._waiting.append(task)

    def set_coverage(self, index: int, coverage: tuple[Bool[np.ndarray, " _"], ...]) -> None:
        """Let the tasks of a round start."""
        self._coverage[index] = self._ray.put(coverage)

    def news(self) -> WorkResult:
        """Wait until a task has ended, for a second at most."""
        self._start()
        return self._ended(timeout=1.0)

    def finish(self) -> WorkResult:
        """What has ended; what runs is given up."""
        self._waiting.clear()
        return self._ended(timeout=0.0)

    def close(self) -> None:
        for task in self._running:
            self._ray.cancel(task)
        self._running.clear()
        if self._started:
            self._ray.shutdown()

    def _start(self) -> None:
        """Have as many tasks at Ray as can run, and some more; tries that were left go with the next."""
        while len(self._running) < AHEAD * self._places():
            if self._waiting and self._waiting[0].round in self._coverage:
                task = self._cut()
            elif self._unfinished and (not self._running or len(self._unfinished) >= self._plan.lanes):
                seed = self._unfinished[0]
                task = WorkItem(seed.round, seed.number, Block(seed.codes[None][:0], None))
            else:
                return
            unfinished, self._unfinished = (
                self._unfinished[: self._plan.lanes],
                self._unfinished[self._plan.lanes :],
            )
            task = replace(task, unfinished=tuple(unfinished), more=task.more or bool(self._running))
            rounds = {task.round, *(seed.round for seed in task.unfinished)}
            task = replace(task, coverage={index: self._coverage[index] for index in rounds})
            ended = self._remote[_searched].remote(self._campaign, [self._given], task)
            self._running[ended] = task

    def _cut(self) -> WorkItem:
        """The next seeds of the oldest round: the work of about so many seconds, and of all places some.

        The last round is cut ever finer, so that all places come to the end together.
        """
        task = self._waiting.popleft()
        seeds = self._plan.round_size if task.more else len(task.block)
        size = max(min(self._size, -(-seeds // self._places())), self._plan.lanes)
        first, rest = task.parted(size)
        if len(rest.block):
            self._waiting.appendleft(rest)
        return first

    def _ended(self, timeout: float) -> WorkResult:
        came = WorkResult()
        running = list(self._running)
        if running:
            ended, _ = self._ray.wait(running, num_returns=1, timeout=timeout)
            more, _ = self._ray.wait(running, num_returns=len(running), timeout=0.0)
            for one in dict.fromkeys([*ended, *more]):
                news, seconds = self._get(one)
                task = self._running.pop(one)
                self._keep(news)
                came.add(news)
                closed = len(news.records) + sum(len(reading.records) for reading in news.read)
                self.load -= closed
                if len(task.block):
                    wanted = self._size if not closed else closed / seconds * self._how.seconds
                    self._size = int(min(max(wanted, self._plan.lanes), 4 * self._size))
        self._unfinished += came.unfinished
        used = {task.round for task in self._waiting} | {seed.round for seed in self._unfinished}
        used |= {index for task in self._running.values() for index in task.coverage}
        self._coverage = {index: coverage for index, coverage in self._coverage.items() if index in used}
        return came

    def _get(self, ended: Any) -> Any:
        """What came of tasks; what went wrong in one is raised as what it was."""
        try:
            return self._ray.get(ended)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error


def _no_cluster(address: str, came: str) -> InputError:
    fix = "start one there (ray start --head), name another, or compute without Ray"
    return InputError(f"Ray address {address}", expected="a cluster that answers", got=came, fix=fix)


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", extra="ray", purpose="campaigns on many machines") from error
    return ray


@own_settings()
@compilation_cache()
def _warm(campaign: str, given: list[Any]) -> None:
    """Compile what tasks of a campaign run, in this worker process."""
    import ray

    if campaign in _held:
        return
    for other in [*_held]:
        _held.pop(other).close()
    method, judge, plan, first, coverage = ray.get(given[0])
    single = (os.environ.get("NPROC") or "1") == "1" and jax.default_backend() == "cpu"
    fates = Worker(method, judge, plan, beside=not single)
    fates.warm_up(first, coverage)
    _held[campaign] = fates


@own_settings()
@compilation_cache()
def _searched(campaign: str, given: list[Any], task: WorkItem) -> tuple[WorkResult, float]:
    """What became of a task's seeds, and the seconds that it took."""
    import ray

    _warm(campaign, given)
    start = time.perf_counter()
    coverage: dict[int, Any] = {
        index: ray.get(of) for index, of in cast(dict[int, Any], task.coverage).items()
    }
    news = _held[campaign].through(replace(task, coverage=coverage))
    return news, time.perf_counter() - start
