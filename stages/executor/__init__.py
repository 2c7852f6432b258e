"""Runs independent tasks in this process, on this machine's processes, or on a cluster's."""
