"""The files of a store and their manifest, wherever they are: a folder, an archive, an address."""
