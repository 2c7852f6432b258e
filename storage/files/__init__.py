"""The files of a store and their manifest, in a folder, in a ZIP file or at an address."""
