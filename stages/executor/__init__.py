"""Runs independent tasks in this process, in other processes of this machine, or on a cluster.

All executors follow one protocol, ``stages.executor.tasks.Run``: they take tasks and yield the
outcome of each, in any order. ``tasks`` has the executor of this process, ``workers`` Dask's
executor, and ``executors`` chooses one; ``local`` and ``slurm`` start the workers.
"""
