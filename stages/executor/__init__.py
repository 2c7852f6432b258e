"""Runs independent tasks in this process, on this machine's processes, or on a cluster's.

One protocol, ``stages.executor.executors.Run``: an executor takes tasks and yields the outcome of
each, in any order. ``executors`` has that of this process, and chooses; ``workers`` has Dask's,
with ``local`` and ``slurm`` for the places where workers run.
"""
