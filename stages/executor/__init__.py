"""Runs independent tasks in this process, in other processes of this machine, or on a cluster.

All executors follow one protocol, ``stages.executor.executors.Run``: they take tasks and yield the
outcome of each, in any order. ``executors`` has the executor of this process and chooses one;
``workers`` has Dask's executor; ``local`` and ``slurm`` start the workers.
"""
