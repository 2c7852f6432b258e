"""What every stage needs: arguments, settings, sources, progress, errors as one line."""
