/* Look-ups in table metadata. */
#include "table/iceberg.h"

const IceSchema *table_schema(const TableMetadata *metadata, int32_t schema_id)
{
    for (size_t i = 0; i < metadata->schema_count; i++)
        if (metadata->schemas[i].id == schema_id)
            return &metadata->schemas[i];
    return NULL;
}

const IceSchema *table_schema_current(const TableMetadata *metadata)
{
    return table_schema(metadata, metadata->current_schema_id);
}

const IcePartitionSpec *table_spec(const TableMetadata *metadata, int32_t spec_id)
{
    for (size_t i = 0; i < metadata->spec_count; i++)
        if (metadata->specs[i].id == spec_id)
            return &metadata->specs[i];
    return NULL;
}

const IcePartitionSpec *table_spec_default(const TableMetadata *metadata)
{
    return table_spec(metadata, metadata->default_spec_id);
}

const IceSortOrder *table_sort_order_default(const TableMetadata *metadata)
{
    for (size_t i = 0; i < metadata->sort_order_count; i++)
        if (metadata->sort_orders[i].id == metadata->default_sort_order_id)
            return &metadata->sort_orders[i];
    return NULL;
}

/* From the newest: that is the one asked for most. */
const IceSnapshot *table_snapshot(const TableMetadata *metadata, int64_t snapshot_id)
{
    for (size_t i = metadata->snapshot_count; i-- > 0;)
        if (metadata->snapshots[i].id == snapshot_id)
            return &metadata->snapshots[i];
    return NULL;
}

const IceSnapshot *table_snapshot_current(const TableMetadata *metadata)
{
    return table_snapshot(metadata, metadata->current_snapshot_id);
}

/* The snapshot log says what was current when; a rolled back snapshot never counts after that. */
const IceSnapshot *table_snapshot_at(const TableMetadata *metadata, int64_t timestamp_ms)
{
    for (size_t i = metadata->snapshot_log_count; i-- > 0;)
        if (metadata->snapshot_log[i].timestamp_ms <= timestamp_ms)
            return table_snapshot(metadata, metadata->snapshot_log[i].snapshot_id);
    return NULL;
}

const IceRef *table_ref(const TableMetadata *metadata, Str name)
{
    for (size_t i = 0; i < metadata->ref_count; i++)
        if (str_eq(metadata->refs[i].name, name))
            return &metadata->refs[i];
    return NULL;
}

Str table_property(const TableMetadata *metadata, Str key, Str fallback)
{
    for (size_t i = 0; i < metadata->property_count; i++)
        if (str_eq(metadata->properties[i].key, key))
            return metadata->properties[i].value;
    return fallback;
}
