"""How well each measure ranks objects: tasks, AUC, intervals, correlations."""
