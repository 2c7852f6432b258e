"""The MLP heads: what they learn, how they are trained, what they predict."""
