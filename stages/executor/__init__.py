"""Runs independent tasks in this process, on this machine's processes, or on a cluster's.

One protocol, ``stages.executor.tasks.Run``: an executor takes tasks and gives what becomes of each,
in any order. ``executors`` has the one of this process, and chooses; ``workers`` has those of Dask,
with ``slurm`` for jobs and ``watch`` for workers that are of no use.
"""
