"""A FileIO for PyIceberg: s3://bucket/key is a file below a directory (PY_LAKE_ROOT). A catalog of tables in memory. The
partition transforms of PyIceberg in Python, so that it writes without its compiled part."""
import os

import pyarrow as pa
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.transforms import BucketTransform, DayTransform, HourTransform, MonthTransform, TruncateTransform, YearTransform
from pyiceberg.types import NestedField


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


class MemoryCatalog(MetastoreCatalog):
    """As much of a catalog as the tests use; metadata files are real."""

    def __init__(self, name, **properties):
        super().__init__(name, **properties)
        self.locations = {}

    def create_namespace(self, namespace, properties=None):
        pass

    def load_namespace_properties(self, namespace):
        return {}

    def create_table(self, identifier, schema, location=None, partition_spec=None, sort_order=None, properties=None):
        extra = {key: value for key, value in (("partition_spec", partition_spec), ("sort_order", sort_order)) if value}
        staged = self._create_staged_table(identifier, schema, location, properties=properties or {}, **extra)
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        self.locations[self.identifier_to_tuple(identifier)] = staged.metadata_location
        return self.load_table(identifier)

    def load_table(self, identifier):
        name = self.identifier_to_tuple(identifier)
        location = self.locations[name]
        io = self._load_file_io(location=location)
        return Table(name, FromInputFile.table_metadata(io.new_input(location)), location, io, self)

    def commit_table(self, table, requirements, updates):
        staged = self._update_and_stage_table(self.load_table(table.name()), table.name(), requirements, updates)
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        self.locations[table.name()] = staged.metadata_location
        return CommitTableResponse(metadata=staged.metadata, metadata_location=staged.metadata_location)


MemoryCatalog.__abstractmethods__ = frozenset()


def in_python(self, source):
    function = self.transform(source)
    kind = schema_to_pyarrow(Schema(NestedField(1, "x", self.result_type(source), required=False)), include_field_ids=False)[0].type

    def apply(array):
        values = array.cast(pa.int32() if pa.types.is_date32(array.type) else pa.int64()
                            if pa.types.is_timestamp(array.type) else array.type).to_pylist()
        return pa.array([function(value) for value in values], pa.int32() if pa.types.is_date32(kind) else kind)
    return apply


for transform in (BucketTransform, DayTransform, HourTransform, MonthTransform, TruncateTransform, YearTransform):
    transform.pyarrow_transform = in_python
