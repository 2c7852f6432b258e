"""Runs independent tasks in this process, on this machine's processes, or on a cluster's.

One protocol: an executor takes tasks and gives what becomes of each, in any order, see
``stages.executor.tasks.Run``. ``tasks`` has the one of this process, and chooses; ``workers`` has
those of Dask, with ``slurm`` for jobs and ``watch`` for workers that are of no use.
"""
