"""Programs compiled ahead: while a stage runs, a thread of its own compiles what the study will ask for next.

Compiling takes about half of a short study's time. JAX keeps what a thread has compiled for all threads, so whoever asks
later only has to wait until it is there.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import jax


class Ahead:
    """One thread that does what it is asked for in turn, each piece of work once.

    It does nothing, and everything is compiled where it is asked for, where several processes train together (they must
    compile in the same order), and while JAX has other settings in the asking thread than in a new one, as inside
    `with jax.default_matmul_precision(...)`: they are part of a program.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compile ahead")
        self._asked: dict[Hashable, Future[None]] = {}

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def wants(self, name: Hashable) -> bool:
        """Whether work of this name would be taken on: nobody has asked for it, and there is one process."""
        return name not in self._asked and jax.process_count() == 1

    def ask(self, name: Hashable, work: Callable[[], Any]) -> None:
        """Has `work` done soon, unless work of this name was asked for before."""
        if self.wants(name):
            self._asked[name] = self._thread.submit(_in_context, dict(jax.config.values), work)

    def wait(self, name: Hashable) -> None:
        """Returns when the work of this name is done, at once if nobody asked for it.

        Raises:
            Exception: what the work raised.
        """
        if name in self._asked:
            self._asked[name].result()


def _in_context(settings: dict[str, Any], work: Callable[[], Any]) -> None:
    if dict(jax.config.values) == settings:
        work()
