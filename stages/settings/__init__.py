"""Settings: ``params.yaml`` as typed values, and what the signatures of stores say under them."""
