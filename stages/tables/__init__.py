"""The tables of the report, and the paper's numbers beside them."""
