"""What goes wrong on disk: types that a caller may tell apart."""


class StoreError(ValueError):
    """A store is missing, incomplete, damaged, of another schema or of other inputs."""


class ImageError(ValueError):
    """An image cannot be read, or is not the image that its record describes."""


class DataError(ValueError):
    """A data set breaks a rule of its layout."""


class WeightsError(ValueError):
    """A weights file is missing, damaged or of another architecture."""
