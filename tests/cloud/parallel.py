"""Spreads independent simulations over the machine's cores, each process with another order of hashes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from lazur.kernel.log import configure

T = TypeVar("T")
A = TypeVar("A")


def spread(work: Callable[[A], T], items: Iterable[A], chunk: int = 1) -> list[T]:
    """`[work(i) for i in items]`, on all cores. `work` must be a function of a module."""
    context = multiprocessing.get_context("spawn")
    # What processes say of planted faults is not worth the time it takes to print.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=configure, initargs=("critical",)) as pool:
        return list(pool.map(work, items, chunksize=chunk))
