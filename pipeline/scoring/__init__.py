"""Scores how well each measure ranks objects by uncertainty: AUC, intervals, correlations."""
