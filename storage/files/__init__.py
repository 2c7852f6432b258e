"""The files of a store and their manifest, in a folder or at an address."""
