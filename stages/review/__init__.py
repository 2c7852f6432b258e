"""Reviews masks: the most doubtful first, with a decision about each that survives a kill."""
