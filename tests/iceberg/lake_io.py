"""A FileIO for PyIceberg: s3://bucket/key is a file below a directory (PY_LAKE_ROOT)."""
import os

from pyiceberg.io.pyarrow import PyArrowFileIO


def local(address: str) -> str:
    assert address.startswith("s3://"), address
    return os.path.join(os.environ["PY_LAKE_ROOT"], address[len("s3://"):])


class LakeIO(PyArrowFileIO):
    """Addresses stay s3:// in all metadata; bytes come from the directory."""

    def new_input(self, location):
        file = super().new_input(local(location))
        file._location = location
        return file

    def new_output(self, location):
        os.makedirs(os.path.dirname(local(location)), exist_ok=True)
        file = super().new_output(local(location))
        file._location = location
        return file

    def delete(self, location):
        super().delete(local(location if isinstance(location, str) else location.location))
