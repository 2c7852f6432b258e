"""The files of a store and their manifest, wherever they are: a folder, a ZIP file, an address."""
