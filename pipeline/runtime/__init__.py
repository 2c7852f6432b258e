"""What one click costs: SAM2 alone, with entropies, with heads (Table 7)."""
