/* table-metadata.json of version 2, both ways (spec, "Table metadata" and appendix C). Readers of
 * version 1 need nothing else as long as the writer already wrote the lists of version 2. */
#include "table/schema_json_priv.h"

#include <stdio.h>
#include <string.h>

typedef struct MetadataIn {
    Arena *arena;
    const Json *json;
    TableMetadata *m;
    Err *err;
} MetadataIn;

static Code broken(MetadataIn *in, const char *what)
{
    return err_set(in->err, E_CORRUPT, "table metadata: %s", what);
}

static Code need_i64(const Json *json, const char *key, int64_t *ret_number, Err *err)
{
    Code code = json_need_i64(json, key, ret_number, err);
    return code ? err_wrap(err, E_CORRUPT, "table metadata") : E_OK;
}

static Code need_str(const Json *json, const char *key, Str *ret_text, Err *err)
{
    Code code = json_need_str(json, key, ret_text, err);
    return code ? err_wrap(err, E_CORRUPT, "table metadata") : E_OK;
}

/* The list under `key` with at most `max` items; absent counts as empty. */
static Code list_get(MetadataIn *in, const char *key, size_t max, const Json **ret_list)
{
    const Json *list = json_get(in->json, key);
    if (!json_is_null(list) && json_type(list) != JSON_ARRAY && json_type(list) != JSON_OBJECT)
        return err_set(in->err, E_CORRUPT, "table metadata: '%s' is no list", key);
    if (json_len(list) > max)
        return err_set(in->err, E_LIMIT, "table metadata: '%s' has more than %zu items", key, max);
    *ret_list = list;
    return E_OK;
}

static Code schemas_decode(MetadataIn *in)
{
    const Json *list;
    TRY(list_get(in, "schemas", SCHEMAS_MAX, &list));
    TableMetadata *m = in->m;
    m->schemas = arena_array(in->arena, IceSchema, json_len(list) + 1);
    JsonIter it = json_iter(list);
    while (json_next(&it)) {
        IceSchema *schema;
        TRY(schema_json_decode(in->arena, it.value, &schema, in->err));
        m->schemas[m->schema_count++] = *schema;
    }
    TRY(ice_json_i32(in->json, "current-schema-id", &m->current_schema_id, in->err));
    return table_schema_current(m) ? E_OK : broken(in, "'current-schema-id' is in no schema");
}

Code spec_json_decode(Arena *arena, const Json *json, IcePartitionSpec *ret_spec, Err *err)
{
    IcePartitionSpec spec = { 0 };
    const Json *fields;
    TRY(ice_json_i32(json, "spec-id", &spec.id, err));
    if (json_need_arr(json, "fields", &fields, err))
        return err_wrap(err, E_CORRUPT, "partition spec");
    if (json_len(fields) > SPEC_FIELDS_MAX)
        return err_set(err, E_LIMIT, "a partition spec has more than %d fields", SPEC_FIELDS_MAX);
    spec.fields = arena_array(arena, IcePartitionField, json_len(fields) + 1);
    JsonIter it = json_iter(fields);
    while (json_next(&it)) {
        IcePartitionField *field = &spec.fields[spec.field_count];
        Str transform;
        TRY(ice_json_i32(it.value, "source-id", &field->source_id, err));
        TRY(need_str(it.value, "name", &field->name, err));
        TRY(need_str(it.value, "transform", &transform, err));
        TRY(ice_transform_parse(transform, &field->transform, err));
        int64_t id = json_i64(json_get(it.value, "field-id"),
                              PARTITION_FIELD_ID_FIRST + (int64_t)spec.field_count);
        if (id < 0 || id > INT32_MAX)
            return err_set(err, E_CORRUPT, "partition spec: 'field-id' is out of range");
        field->field_id = (int32_t)id;
        spec.field_count++;
    }
    *ret_spec = spec;
    return E_OK;
}

static Code specs_decode(MetadataIn *in)
{
    const Json *list;
    TableMetadata *m = in->m;
    TRY(list_get(in, "partition-specs", SPECS_MAX, &list));
    m->specs = arena_array(in->arena, IcePartitionSpec, json_len(list) + 1);
    m->last_partition_id = PARTITION_FIELD_ID_FIRST - 1;
    JsonIter it = json_iter(list);
    while (json_next(&it)) {
        IcePartitionSpec *spec = &m->specs[m->spec_count];
        TRY(spec_json_decode(in->arena, it.value, spec, in->err));
        for (size_t i = 0; i < spec->field_count; i++)
            m->last_partition_id = MAX(m->last_partition_id, spec->fields[i].field_id);
        m->spec_count++;
    }
    TRY(ice_json_i32(in->json, "default-spec-id", &m->default_spec_id, in->err));
    int64_t last = json_i64(json_get(in->json, "last-partition-id"), m->last_partition_id);
    m->last_partition_id =
        last >= m->last_partition_id && last <= INT32_MAX ? (int32_t)last : m->last_partition_id;
    return table_spec_default(m) ? E_OK : broken(in, "'default-spec-id' is in no spec");
}

static Code sort_order_decode(MetadataIn *in, const Json *json, IceSortOrder *ret_order)
{
    IceSortOrder order = { 0 };
    const Json *fields;
    TRY(ice_json_i32(json, "order-id", &order.id, in->err));
    if (json_need_arr(json, "fields", &fields, in->err))
        return err_wrap(in->err, E_CORRUPT, "sort order");
    if (json_len(fields) > SPEC_FIELDS_MAX)
        return err_set(in->err, E_LIMIT, "a sort order has more than %d fields", SPEC_FIELDS_MAX);
    order.fields = arena_array(in->arena, IceSortField, json_len(fields) + 1);
    JsonIter it = json_iter(fields);
    while (json_next(&it)) {
        IceSortField *field = &order.fields[order.field_count++];
        Str transform, direction, nulls;
        TRY(ice_json_i32(it.value, "source-id", &field->source_id, in->err));
        TRY(need_str(it.value, "transform", &transform, in->err));
        TRY(need_str(it.value, "direction", &direction, in->err));
        TRY(need_str(it.value, "null-order", &nulls, in->err));
        TRY(ice_transform_parse(transform, &field->transform, in->err));
        field->descending = str_eq(direction, STR("desc"));
        field->nulls_last = str_eq(nulls, STR("nulls-last"));
    }
    *ret_order = order;
    return E_OK;
}

static Code sort_orders_decode(MetadataIn *in)
{
    const Json *list;
    TableMetadata *m = in->m;
    TRY(list_get(in, "sort-orders", SPECS_MAX, &list));
    m->sort_orders = arena_array(in->arena, IceSortOrder, json_len(list) + 1);
    JsonIter it = json_iter(list);
    while (json_next(&it))
        TRY(sort_order_decode(in, it.value, &m->sort_orders[m->sort_order_count++]));
    int64_t id = json_i64(json_get(in->json, "default-sort-order-id"), 0);
    m->default_sort_order_id = id < 0 || id > INT32_MAX ? 0 : (int32_t)id;
    if (!m->sort_order_count)
        m->sort_orders[m->sort_order_count++] = (IceSortOrder){ .id = 0 };
    return table_sort_order_default(m) ? E_OK
                                       : broken(in, "'default-sort-order-id' is in no order");
}

static Code properties_decode(MetadataIn *in, const Json *json, const char *without,
                              IceProperty **ret_properties, size_t *ret_count)
{
    if (json_len(json) > PROPERTIES_MAX)
        return err_set(in->err, E_LIMIT, "table metadata: more than %d properties", PROPERTIES_MAX);
    IceProperty *properties = arena_array(in->arena, IceProperty, json_len(json) + 1);
    size_t count = 0;
    JsonIter it = json_iter(json);
    while (json_next(&it)) {
        if (str_eq(it.key, str_z(without)))
            continue;
        if (json_type(it.value) != JSON_STRING)
            return broken(in, "a property is no text");
        properties[count++] = (IceProperty){ it.key, json_str(it.value) };
    }
    *ret_properties = properties;
    *ret_count = count;
    return E_OK;
}

static Code snapshot_decode(MetadataIn *in, const Json *json, IceSnapshot *snapshot)
{
    TRY(need_i64(json, "snapshot-id", &snapshot->id, in->err));
    TRY(need_i64(json, "timestamp-ms", &snapshot->timestamp_ms, in->err));
    snapshot->parent_id = json_i64(json_get(json, "parent-snapshot-id"), -1);
    snapshot->sequence_number = json_i64(json_get(json, "sequence-number"), 0);
    int64_t schema_id = json_i64(json_get(json, "schema-id"), -1);
    snapshot->schema_id = schema_id < 0 || schema_id > INT32_MAX ? -1 : (int32_t)schema_id;
    if (!json_is_null(json_get(json, "manifests")))
        return err_set(in->err, E_UNSUPPORTED,
                       "a snapshot of version 1 lists its manifests inside the metadata");
    TRY(need_str(json, "manifest-list", &snapshot->manifest_list, in->err));
    const Json *summary = json_get(json, "summary");
    snapshot->operation = json_str(json_get(summary, "operation"));
    if (!snapshot->operation.ptr)
        snapshot->operation = STR("append");
    return properties_decode(in, summary, "operation", &snapshot->summary,
                             &snapshot->summary_count);
}

static Code snapshots_decode(MetadataIn *in)
{
    const Json *list;
    TableMetadata *m = in->m;
    TRY(list_get(in, "snapshots", SNAPSHOTS_MAX, &list));
    m->snapshots = arena_array(in->arena, IceSnapshot, json_len(list) + 1);
    JsonIter it = json_iter(list);
    while (json_next(&it))
        TRY(snapshot_decode(in, it.value, &m->snapshots[m->snapshot_count++]));
    m->current_snapshot_id = json_i64(json_get(in->json, "current-snapshot-id"), -1);
    if (m->current_snapshot_id != -1 && !table_snapshot_current(m))
        return broken(in, "'current-snapshot-id' is no snapshot");
    return E_OK;
}

static Code logs_decode(MetadataIn *in)
{
    const Json *snapshots, *metadata;
    TableMetadata *m = in->m;
    TRY(list_get(in, "snapshot-log", SNAPSHOTS_MAX, &snapshots));
    TRY(list_get(in, "metadata-log", METADATA_LOG_MAX, &metadata));
    m->snapshot_log = arena_array(in->arena, IceSnapshotLog, json_len(snapshots) + 1);
    m->metadata_log = arena_array(in->arena, IceMetadataLog, json_len(metadata) + 1);
    JsonIter it = json_iter(snapshots);
    while (json_next(&it)) {
        IceSnapshotLog *line = &m->snapshot_log[m->snapshot_log_count++];
        TRY(need_i64(it.value, "timestamp-ms", &line->timestamp_ms, in->err));
        TRY(need_i64(it.value, "snapshot-id", &line->snapshot_id, in->err));
    }
    it = json_iter(metadata);
    while (json_next(&it)) {
        IceMetadataLog *line = &m->metadata_log[m->metadata_log_count++];
        TRY(need_i64(it.value, "timestamp-ms", &line->timestamp_ms, in->err));
        TRY(need_str(it.value, "metadata-file", &line->location, in->err));
    }
    return E_OK;
}

static Code ref_decode(MetadataIn *in, Str name, const Json *json)
{
    IceRef *ref = &in->m->refs[in->m->ref_count];
    Str type;
    TRY(need_i64(json, "snapshot-id", &ref->snapshot_id, in->err));
    TRY(need_str(json, "type", &type, in->err));
    ref->name = name;
    ref->is_tag = str_eq(type, STR("tag"));
    ref->snapshots_keep_min = json_i64(json_get(json, "min-snapshots-to-keep"), -1);
    ref->snapshot_age_ms_max = json_i64(json_get(json, "max-snapshot-age-ms"), -1);
    ref->ref_age_ms_max = json_i64(json_get(json, "max-ref-age-ms"), -1);
    in->m->ref_count++;
    return table_snapshot(in->m, ref->snapshot_id) ? E_OK : broken(in, "a ref names no snapshot");
}

static Code refs_decode(MetadataIn *in)
{
    const Json *refs;
    TableMetadata *m = in->m;
    TRY(list_get(in, "refs", REFS_MAX, &refs));
    m->refs = arena_array(in->arena, IceRef, json_len(refs) + 2);
    JsonIter it = json_iter(refs);
    while (json_next(&it))
        TRY(ref_decode(in, it.key, it.value));
    const IceRef *main = table_ref(m, STR("main"));
    if (main && main->snapshot_id != m->current_snapshot_id)
        return broken(in, "ref 'main' is not the current snapshot");
    if (!main && m->current_snapshot_id != -1)
        m->refs[m->ref_count++] = (IceRef){ .name = STR("main"),
                                            .snapshot_id = m->current_snapshot_id,
                                            .snapshots_keep_min = -1,
                                            .snapshot_age_ms_max = -1,
                                            .ref_age_ms_max = -1 };
    return E_OK;
}

static const char *const KNOWN[] = { "format-version",
                                     "table-uuid",
                                     "location",
                                     "last-sequence-number",
                                     "last-updated-ms",
                                     "last-column-id",
                                     "schemas",
                                     "current-schema-id",
                                     "partition-specs",
                                     "default-spec-id",
                                     "last-partition-id",
                                     "sort-orders",
                                     "default-sort-order-id",
                                     "properties",
                                     "current-snapshot-id",
                                     "snapshots",
                                     "snapshot-log",
                                     "metadata-log",
                                     "refs",
                                     "schema",
                                     "partition-spec" };

static Code extras_decode(MetadataIn *in)
{
    TableMetadata *m = in->m;
    m->extras = arena_array(in->arena, IceExtra, json_len(in->json) + 1);
    JsonIter it = json_iter(in->json);
    while (json_next(&it)) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
            known |= str_eq(it.key, str_z(KNOWN[i]));
        if (known)
            continue;
        Buf AUTO(buf_done) text;
        buf_init(&text, METADATA_BYTES_MAX);
        JsonWriter w = json_writer(&text);
        json_put_value(&w, it.value);
        m->extras[m->extra_count++] = (IceExtra){ it.key, str_copy(in->arena, buf_str(&text)) };
    }
    return E_OK;
}

static Code head_decode(MetadataIn *in)
{
    TableMetadata *m = in->m;
    TRY(ice_json_i32(in->json, "format-version", &m->format_version, in->err));
    if (m->format_version != 2 && m->format_version != 1) {
        Code code = err_set(in->err, E_UNSUPPORTED, "the table has Iceberg format version %d",
                            m->format_version);
        return err_hint(in->err, code, "tarn reads and writes version 2");
    }
    if (m->format_version == 1 && json_is_null(json_get(in->json, "schemas")))
        return err_set(in->err, E_UNSUPPORTED, "table metadata of version 1 without 'schemas'");
    m->format_version = 2;
    Str uuid;
    TRY(need_str(in->json, "table-uuid", &uuid, in->err));
    if (!uuid_parse(uuid, &m->uuid))
        return broken(in, "'table-uuid' is no UUID");
    TRY(need_str(in->json, "location", &m->location, in->err));
    while (str_ends(m->location, STR("/")))
        m->location.len--;
    m->last_sequence_number = json_i64(json_get(in->json, "last-sequence-number"), 0);
    TRY(need_i64(in->json, "last-updated-ms", &m->last_updated_ms, in->err));
    return ice_json_i32(in->json, "last-column-id", &m->last_column_id, in->err);
}

Code table_metadata_decode(Arena *arena, Str text, TableMetadata **ret_metadata, Err *err)
{
    MetadataIn in = { arena, NULL, arena_new(arena, TableMetadata), err };
    JsonLimits limits = { .bytes_max = METADATA_BYTES_MAX, .depth_max = SCHEMA_JSON_DEPTH_MAX };
    if (json_parse(arena, text, &limits, &in.json, err))
        return err_wrap(err, E_CORRUPT, "table metadata");
    if (json_type(in.json) != JSON_OBJECT)
        return broken(&in, "it is no object");
    TRY(head_decode(&in));
    TRY(schemas_decode(&in));
    TRY(specs_decode(&in));
    TRY(sort_orders_decode(&in));
    TRY(properties_decode(&in, json_get(in.json, "properties"), "", &in.m->properties,
                          &in.m->property_count));
    TRY(snapshots_decode(&in));
    TRY(logs_decode(&in));
    TRY(refs_decode(&in));
    TRY(extras_decode(&in));
    *ret_metadata = in.m;
    return E_OK;
}

static void transform_put(JsonWriter *w, IceTransform transform)
{
    Arena AUTO(arena_done) tmp = { 0 };
    json_field_str(w, "transform", ice_transform_format(&tmp, transform));
}

static void spec_fields_put(JsonWriter *w, const IcePartitionSpec *spec)
{
    json_begin_array(w);
    for (size_t i = 0; i < spec->field_count; i++) {
        json_begin_object(w);
        json_field_i64(w, "source-id", spec->fields[i].source_id);
        json_field_i64(w, "field-id", spec->fields[i].field_id);
        json_field_str(w, "name", spec->fields[i].name);
        transform_put(w, spec->fields[i].transform);
        json_end_object(w);
    }
    json_end_array(w);
}

void ice_spec_fields_encode(Buf *json, const IcePartitionSpec *spec)
{
    JsonWriter w = json_writer(json);
    spec_fields_put(&w, spec);
}

static void specs_encode(JsonWriter *w, const TableMetadata *m)
{
    json_key(w, STR("partition-specs"));
    json_begin_array(w);
    for (size_t i = 0; i < m->spec_count; i++) {
        json_begin_object(w);
        json_field_i64(w, "spec-id", m->specs[i].id);
        json_key(w, STR("fields"));
        spec_fields_put(w, &m->specs[i]);
        json_end_object(w);
    }
    json_end_array(w);
    json_field_i64(w, "default-spec-id", m->default_spec_id);
    json_field_i64(w, "last-partition-id", m->last_partition_id);
}

static void sort_orders_encode(JsonWriter *w, const TableMetadata *m)
{
    json_key(w, STR("sort-orders"));
    json_begin_array(w);
    for (size_t i = 0; i < m->sort_order_count; i++) {
        const IceSortOrder *order = &m->sort_orders[i];
        json_begin_object(w);
        json_field_i64(w, "order-id", order->id);
        json_key(w, STR("fields"));
        json_begin_array(w);
        for (size_t j = 0; j < order->field_count; j++) {
            const IceSortField *field = &order->fields[j];
            json_begin_object(w);
            transform_put(w, field->transform);
            json_field_i64(w, "source-id", field->source_id);
            json_field_str(w, "direction", field->descending ? STR("desc") : STR("asc"));
            json_field_str(w, "null-order",
                           field->nulls_last ? STR("nulls-last") : STR("nulls-first"));
            json_end_object(w);
        }
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
    json_field_i64(w, "default-sort-order-id", m->default_sort_order_id);
}

static void properties_put(JsonWriter *w, const IceProperty *properties, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_key(w, properties[i].key);
        json_put_str(w, properties[i].value.ptr ? properties[i].value : STR(""));
    }
}

static void snapshots_encode(JsonWriter *w, const TableMetadata *m)
{
    json_key(w, STR("snapshots"));
    json_begin_array(w);
    for (size_t i = 0; i < m->snapshot_count; i++) {
        const IceSnapshot *s = &m->snapshots[i];
        json_begin_object(w);
        json_field_i64(w, "sequence-number", s->sequence_number);
        json_field_i64(w, "snapshot-id", s->id);
        if (s->parent_id != -1)
            json_field_i64(w, "parent-snapshot-id", s->parent_id);
        json_field_i64(w, "timestamp-ms", s->timestamp_ms);
        json_key(w, STR("summary"));
        json_begin_object(w);
        json_field_str(w, "operation", s->operation);
        properties_put(w, s->summary, s->summary_count);
        json_end_object(w);
        json_field_str(w, "manifest-list", s->manifest_list);
        if (s->schema_id >= 0)
            json_field_i64(w, "schema-id", s->schema_id);
        json_end_object(w);
    }
    json_end_array(w);
}

static void logs_encode(JsonWriter *w, const TableMetadata *m)
{
    json_key(w, STR("snapshot-log"));
    json_begin_array(w);
    for (size_t i = 0; i < m->snapshot_log_count; i++) {
        json_begin_object(w);
        json_field_i64(w, "timestamp-ms", m->snapshot_log[i].timestamp_ms);
        json_field_i64(w, "snapshot-id", m->snapshot_log[i].snapshot_id);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, STR("metadata-log"));
    json_begin_array(w);
    for (size_t i = 0; i < m->metadata_log_count; i++) {
        json_begin_object(w);
        json_field_i64(w, "timestamp-ms", m->metadata_log[i].timestamp_ms);
        json_field_str(w, "metadata-file", m->metadata_log[i].location);
        json_end_object(w);
    }
    json_end_array(w);
}

static void refs_encode(JsonWriter *w, const TableMetadata *m)
{
    json_key(w, STR("refs"));
    json_begin_object(w);
    for (size_t i = 0; i < m->ref_count; i++) {
        const IceRef *ref = &m->refs[i];
        json_key(w, ref->name);
        json_begin_object(w);
        json_field_i64(w, "snapshot-id", ref->snapshot_id);
        json_field_str(w, "type", ref->is_tag ? STR("tag") : STR("branch"));
        if (ref->snapshots_keep_min >= 0)
            json_field_i64(w, "min-snapshots-to-keep", ref->snapshots_keep_min);
        if (ref->snapshot_age_ms_max >= 0)
            json_field_i64(w, "max-snapshot-age-ms", ref->snapshot_age_ms_max);
        if (ref->ref_age_ms_max >= 0)
            json_field_i64(w, "max-ref-age-ms", ref->ref_age_ms_max);
        json_end_object(w);
    }
    json_end_object(w);
}

void table_metadata_encode(Buf *json, const TableMetadata *m)
{
    Arena AUTO(arena_done) tmp = { 0 };
    JsonWriter writer = json_writer(json), *w = &writer;
    json_begin_object(w);
    json_field_i64(w, "format-version", m->format_version);
    json_field_str(w, "table-uuid", uuid_format(&tmp, m->uuid));
    json_field_str(w, "location", m->location);
    json_field_i64(w, "last-sequence-number", m->last_sequence_number);
    json_field_i64(w, "last-updated-ms", m->last_updated_ms);
    json_field_i64(w, "last-column-id", m->last_column_id);
    json_key(w, STR("schemas"));
    json_begin_array(w);
    for (size_t i = 0; i < m->schema_count; i++)
        schema_json_encode(w, &m->schemas[i]);
    json_end_array(w);
    json_field_i64(w, "current-schema-id", m->current_schema_id);
    specs_encode(w, m);
    sort_orders_encode(w, m);
    json_key(w, STR("properties"));
    json_begin_object(w);
    properties_put(w, m->properties, m->property_count);
    json_end_object(w);
    if (m->current_snapshot_id != -1)
        json_field_i64(w, "current-snapshot-id", m->current_snapshot_id);
    snapshots_encode(w, m);
    logs_encode(w, m);
    refs_encode(w, m);
    for (size_t i = 0; i < m->extra_count; i++) {
        json_key(w, m->extras[i].key);
        json_put_raw(w, m->extras[i].json);
    }
    json_end_object(w);
}
