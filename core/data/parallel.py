"""A function over many items on all cores, that outlives an item which kills its process."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from core.errors import KocrError

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_DEATHS = 8
_CHUNK = 16


def each_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    crashed: Callable[[Item], Result],
    workers: int,
) -> Iterator[Result]:
    """``function`` of every item, in order; ``crashed`` answers for an item that kills its process.

    Function, items and results have to be picklable. Raises KocrError if MOST_DEATHS processes
    die one after another, which is the machine's fault and not the items'.
    """
    deaths = 0
    chunks = deque(items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
    while chunks:
        try:
            yield from _through_pool(function, chunks, workers)
        except BrokenProcessPool:
            for item in chunks.popleft():
                try:
                    result = _alone(function, item)
                    deaths = 0
                except BrokenProcessPool:
                    result = crashed(item)
                    deaths += 1
                if deaths == MOST_DEATHS:
                    raise KocrError(
                        f"{deaths} processes died one after another; is there memory left?"
                    ) from None
                yield result


def _through_pool(
    function: Callable[[Item], Result], chunks: deque[Sequence[Item]], workers: int
) -> Iterator[Result]:
    """Takes a chunk off ``chunks`` only once its results are in."""
    waiting = deque(chunks)
    running: deque[Future[list[Result]]] = deque()
    pool = _pool(workers)
    try:
        while waiting or running:
            while waiting and len(running) < 4 * workers:
                running.append(pool.submit(_map, function, waiting.popleft()))
            results = running.popleft().result()
            chunks.popleft()
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(function: Callable[[Item], Result], item: Item) -> Result:
    with _pool(1) as pool:
        return pool.submit(function, item).result()


def _map(function: Callable[[Item], Result], chunk: Sequence[Item]) -> list[Result]:
    return [function(item) for item in chunk]


def _pool(workers: int) -> ProcessPoolExecutor:
    # Started afresh, since a fork would copy the caller's threads' locks in whatever state.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_signals)


def _leave_signals() -> None:
    """Ctrl-C is the caller's to handle; its processes end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
