"""Head sets as single files with a card, and the one that ships."""
