"""What a run would do: the cells that are asked for, and why each of them would run."""
