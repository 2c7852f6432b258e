"""What a worker process does besides its tasks: it ends well."""

import asyncio
import signal
from typing import Final

from distributed import Status, Worker, WorkerPlugin

from stages.shell.stopping import ask_to_stop

SIGNALS: Final = (signal.SIGTERM, signal.SIGUSR1)
"""SLURM sends the first to jobs that are cancelled, requeued or preempted, and the second, where it
is asked to, to those whose time is nearly over."""


class LeaveInTime(WorkerPlugin):
    """Lets a worker that is asked to go hand back its task, having kept what is done of it.

    Dask would let the task run on until the process is killed.
    """

    name = "leave-in-time"

    def setup(self, worker: Worker) -> None:
        """Listen to signals; called in the main thread of the process, whose loop it is."""
        loop = asyncio.get_running_loop()
        leaving: list[asyncio.Task[None]] = []

        def leave() -> None:
            # A nanny starts another process in place of one that leaves.
            leaving.append(loop.create_task(worker.close_gracefully(restart=bool(worker.nanny))))

        for number in SIGNALS:
            loop.add_signal_handler(number, leave)
        # Ctrl-C reaches all processes of a terminal; the driver tells its workers to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Worker) -> None:
        """Stop the task that is running; called before a worker that ends waits for it.

        Also called where the next stage sends the same worker its own copy of this.
        """
        if worker.status is Status.closing:
            ask_to_stop()
