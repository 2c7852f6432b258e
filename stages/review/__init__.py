"""Reviews masks, the most doubtful first; a person's decisions about them survive a kill."""
