/* One write is: look at the SELECT's columns, COPY it through the stage sink, read the footers of
 * the staged files, publish all in one group.
 * 1. Nothing has a key before the COPY and every footer were right; a failure aborts all staged
 * files.
 * 2. The rows in the footers are those that the COPY counted.
 * 3. Every name is written down as an intent before it exists: what no commit ends is swept.
 * 4. A partition tuple is the tuple of transformed values; the hidden column STAGE_PART numbers the
 *    tuples, the engine splits by it and leaves it out of the files. */
#include "sql/write.h"

#include "format/arrow.h"
#include "sql/files.h"
#include "sql/transform_sql.h"
#include "table/stats.h"

#include <string.h>

enum { TEXT_MAX = BORDER_TEXT_MAX };

typedef struct Write {
    const WriteJob *job;
    Engine *engine;
    EngineLease *lease;
    Arena *arena;
    StageSink *sink;
    Buf text;
    size_t select_at; /* where the user's text begins in `text` */
    Str *names;       /* of the SELECT's columns */
    size_t name_count;
    int64_t rows; /* as the COPY counted them */
    const IceType **partition_types;
    Str (*tuples)[SPEC_FIELDS_MAX];
    size_t tuple_count;
    int64_t started_us;
} Write;

static bool is_partitioned(const Write *w)
{
    return w->job->spec && w->job->spec->field_count > 0;
}

static void put_name(Buf *buf, Str name)
{
    buf_put_char(buf, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            buf_put_char(buf, '"');
        buf_put_char(buf, name.ptr[i]);
    }
    buf_put_char(buf, '"');
}

/* ---- the columns ---- */

static Code look_at_columns(Write *w, Err *err)
{
    BorderQuery *query = NULL;
    BorderRequest request = w->job->select;
    request.columns_only = true;
    TRY(border_query_start(engine_lease_conn(w->lease), &request, &query, err));
    w->name_count = border_query_columns(query);
    w->names = arena_array(w->arena, Str, w->name_count);
    for (size_t i = 0; i < w->name_count; i++)
        w->names[i] = str_copy(w->arena, border_query_column_name(query, i));
    border_query_free(&query);
    return E_OK;
}

/* The place of a table's column in the SELECT; SIZE_MAX: it is not there. */
static size_t place_of(const Write *w, size_t field)
{
    if (w->job->by_position)
        return field < w->name_count ? field : SIZE_MAX;
    for (size_t i = 0; i < w->name_count; i++)
        if (str_ieq(w->names[i], w->job->schema->fields[field].name))
            return i;
    return SIZE_MAX;
}

static Code check_columns(const Write *w, Err *err)
{
    const IceSchema *schema = w->job->schema;
    if (w->job->by_position) {
        if (w->name_count > schema->field_count)
            return err_set(err, E_INVALID, "the SELECT has %zu columns, the table %zu",
                           w->name_count, schema->field_count);
        return E_OK;
    }
    Str *fields = arena_array(w->arena, Str, schema->field_count);
    for (size_t f = 0; f < schema->field_count; f++)
        fields[f] = schema->fields[f].name;
    for (size_t i = 0; i < w->name_count; i++) {
        bool known = false;
        for (size_t f = 0; f < schema->field_count; f++)
            known = known || str_ieq(w->names[i], fields[f]);
        if (known)
            continue;
        err_set(err, E_INVALID, "the table has no column " STR_FMT, STR_ARG(w->names[i]));
        Str near = str_nearest(w->names[i], fields, schema->field_count);
        if (near.ptr)
            return err_hint(err, E_INVALID, "did you mean " STR_FMT "?", STR_ARG(near));
        return E_INVALID;
    }
    return E_OK;
}

/* ---- the text ---- */

/* One column of the file, cast to its type. */
static void put_column(Write *w, size_t field)
{
    const IceField *f = &w->job->schema->fields[field];
    size_t place = place_of(w, field);
    if (f->required)
        buf_put(&w->text, STR("coalesce("));
    buf_put(&w->text, STR("CAST("));
    if (place == SIZE_MAX)
        buf_put(&w->text, STR("NULL"));
    else
        buf_format(&w->text, "tarn_rows.c%zu", place);
    buf_put(&w->text, STR(" AS "));
    ice_type_put_sql(&w->text, f->type);
    buf_put_char(&w->text, ')');
    if (f->required) {
        buf_put(&w->text, STR(", error('the column "));
        for (size_t i = 0; i < f->name.len; i++) {
            if (f->name.ptr[i] == '\'')
                buf_put_char(&w->text, '\'');
            buf_put_char(&w->text, f->name.ptr[i]);
        }
        buf_put(&w->text, STR(" is NOT NULL and got a NULL'))"));
    }
    buf_put(&w->text, STR(" AS "));
    put_name(&w->text, f->name);
}

static const IceField *source_field(const Write *w, int32_t id, Err *err)
{
    const IceSchema *schema = w->job->schema;
    for (size_t i = 0; i < schema->field_count; i++)
        if (schema->fields[i].id == id)
            return &schema->fields[i];
    err_set(err, E_UNSUPPORTED, "column %d of a partition or sort order is nested or not there",
            id);
    return NULL;
}

static Code put_ordinal(Write *w, Err *err)
{
    const IcePartitionSpec *spec = w->job->spec;
    w->partition_types = arena_array(w->arena, const IceType *, spec->field_count);
    buf_put(&w->text, STR(", tarn_ordinal("));
    for (size_t i = 0; i < spec->field_count; i++) {
        const IcePartitionField *p = &spec->fields[i];
        const IceField *field = source_field(w, p->source_id, err);
        if (!field)
            return E_UNSUPPORTED;
        TRY(ice_transform_type(p->transform, field->type, &w->partition_types[i], err));
        if (i > 0)
            buf_put(&w->text, STR(", "));
        TRY(transform_put_sql(&w->text, p->transform, field, err));
    }
    buf_put(&w->text, STR(") AS " STAGE_PART));
    return E_OK;
}

static Code put_order(Write *w, Err *err)
{
    const IceSortOrder *sort = w->job->sort;
    if (!sort || sort->field_count == 0)
        return E_OK;
    buf_put(&w->text, STR(" ORDER BY "));
    for (size_t i = 0; i < sort->field_count; i++) {
        const IceSortField *s = &sort->fields[i];
        const IceField *field = source_field(w, s->source_id, err);
        if (!field)
            return E_UNSUPPORTED;
        if (i > 0)
            buf_put(&w->text, STR(", "));
        if (s->transform.kind == TRANSFORM_IDENTITY)
            put_name(&w->text, field->name);
        else
            TRY(transform_put_number(&w->text, s->transform, field, err));
        buf_format(&w->text, " %s NULLS %s", s->descending ? "DESC" : "ASC",
                   s->nulls_last ? "LAST" : "FIRST");
    }
    return E_OK;
}

/* {a: 1, l: {__duckdb_field_id: 2, element: 3}}; at most ICE_DEPTH_MAX levels. */
static void put_field_ids(Buf *buf, const IceField *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put(buf, STR(", "));
        put_name(buf, fields[i].name);
        if (!ice_is_nested(fields[i].type)) {
            buf_format(buf, ": %d", fields[i].id);
            continue;
        }
        buf_format(buf, ": {__duckdb_field_id: %d, ", fields[i].id);
        put_field_ids(buf, fields[i].type->fields, fields[i].type->field_count);
        buf_put_char(buf, '}');
    }
}

static void put_options(Write *w)
{
    const WriteJob *job = w->job;
    uint32_t rows = job->row_group_rows ? job->row_group_rows : WRITE_ROW_GROUP_ROWS;
    uint64_t bytes = job->file_bytes ? job->file_bytes : WRITE_FILE_BYTES;
    buf_format(&w->text,
               ") TO 's3://stage/write' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, "
               "PARQUET_VERSION v1, ROW_GROUP_SIZE %u, FIELD_IDS {",
               rows);
    put_field_ids(&w->text, job->schema->fields, job->schema->field_count);
    buf_put(&w->text, STR("}"));
    if (is_partitioned(w))
        buf_put(&w->text, STR(", PARTITION_BY (" STAGE_PART "))"));
    else
        buf_format(&w->text, ", WRITE_EMPTY_FILE false, FILE_SIZE_BYTES '%lluB')",
                   (unsigned long long)bytes);
}

/* COPY (SELECT *, ordinal FROM (SELECT cast columns FROM (the user's) AS tarn_rows(c0, ...)) ORDER
 * BY) */
static Code put_copy(Write *w, Err *err)
{
    const IceSchema *schema = w->job->schema;
    buf_put(&w->text, STR("COPY (SELECT *"));
    if (is_partitioned(w))
        TRY(put_ordinal(w, err));
    buf_put(&w->text, STR(" FROM (SELECT "));
    for (size_t i = 0; i < schema->field_count; i++) {
        if (i > 0)
            buf_put(&w->text, STR(", "));
        put_column(w, i);
    }
    buf_put(&w->text, STR(" FROM (\n"));
    w->select_at = w->text.len;
    buf_put(&w->text, w->job->select.text);
    buf_put(&w->text, STR("\n) AS tarn_rows("));
    for (size_t i = 0; i < w->name_count; i++)
        buf_format(&w->text, "%sc%zu", i > 0 ? ", " : "", i);
    buf_put(&w->text, STR("))"));
    TRY(put_order(w, err));
    put_options(w);
    return buf_end(&w->text, "the text of a write", err);
}

/* ---- running ---- */

static void keep_tuples(Write *w, BorderQuery *query)
{
    size_t parts = 0;
    w->tuple_count = border_query_tuples(query, &parts);
    w->tuples = arena_array_raw(w->arena, w->tuple_count + 1, sizeof *w->tuples);
    for (size_t t = 0; t < w->tuple_count; t++)
        for (size_t p = 0; p < parts && p < SPEC_FIELDS_MAX; p++) {
            Str part = border_query_tuple_part(query, t, p);
            w->tuples[t][p] = part.ptr ? str_copy(w->arena, part) : STR_NONE;
        }
}

static Code run_copy(Write *w, Err *err)
{
    BorderSink sink = stage_sink_border(w->sink);
    EngineQuery query = { .request = w->job->select, .timeout_us = w->job->timeout_us,
                          .cancel = w->job->cancel };
    query.request.text = buf_str(&w->text);
    query.request.sink = &sink;
    EngineResult *result AUTO(engine_result_free) = NULL;
    Code code = engine_query(w->lease, &query, &result, err);
    struct ArrowArray array = { 0 };
    if (code == E_OK)
        code = engine_result_next(result, &array, err);
    if (code != E_OK) {
        if (err && err->position >= 0) { /* in the user's text, or nowhere */
            int64_t at = err->position - (int64_t)w->select_at;
            err->position = at >= 0 && at < (int64_t)w->job->select.text.len ? at : -1;
        }
        return code;
    }
    if (array.release) {
        w->rows = ((const int64_t *)array.children[0]->buffers[1])[array.children[0]->offset];
        array.release(&array);
    }
    keep_tuples(w, engine_result_query(result));
    if (w->tuple_count > WRITE_PARTITIONS_MAX)
        return err_set(err, E_LIMIT, "the write has %zu partitions, more than %d", w->tuple_count,
                       WRITE_PARTITIONS_MAX);
    return E_OK;
}

/* ---- the files ---- */

static Code set_partition(Write *w, const StageFile *staged, DataFile *file, Err *err)
{
    const IcePartitionSpec *spec = w->job->spec;
    file->spec_id = spec ? spec->id : 0;
    if (!is_partitioned(w))
        return E_OK;
    if (staged->ordinal < 0 || (size_t)staged->ordinal >= w->tuple_count)
        return err_set(err, E_INTERNAL, "a staged file has no partition");
    file->partition_count = spec->field_count;
    file->partition = arena_array(w->arena, IceValue, spec->field_count);
    for (size_t i = 0; i < spec->field_count; i++)
        TRY(transform_value(w->partition_types[i], w->tuples[staged->ordinal][i], w->arena,
                            &file->partition[i], err));
    return E_OK;
}

static Code describe_file(Write *w, StageFile *staged, DataFile *ret_file, Err *err)
{
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    TRY(store_stage_reader(staged->staged, &reader, err));
    DataFile file = { 0 };
    TRY(data_file_from_footer(reader, w->job->schema, w->job->metadata, w->arena, &file, err));
    Str uuid = uuid_format(w->arena, os_uuid(w->job->os));
    file.content = CONTENT_DATA;
    file.format = STR("PARQUET");
    file.address = str_format(w->arena, STR_FMT "/data/" STR_FMT ".parquet",
                              STR_ARG(w->job->location), STR_ARG(uuid));
    file.sort_order_id = w->job->sort && w->job->sort->field_count ? w->job->sort->id : 0;
    file.sequence_number = -1;
    TRY(set_partition(w, staged, &file, err));
    *ret_file = file;
    return E_OK;
}

/* One metadata commit for the whole write: the intents, before a file has its name. */
static Code intend(const Write *w, const DataFile *files, size_t count, Err *err)
{
    const WriteJob *job = w->job;
    if (count == 0 || job->catalog == NULL || job->run_id.len == 0)
        return E_OK;
    Str *addresses = arena_array(w->arena, Str, count);
    for (size_t i = 0; i < count; i++)
        addresses[i] = files[i].address;
    return catalog_stage_intend(job->catalog, job->run_id, job->table, addresses, count, err);
}

static Code publish(Write *w, StorePut *puts, StageFile **staged, size_t count, Err *err)
{
    for (size_t i = 0; i < count; i++)
        puts[i].take_staged = staged[i]->staged;
    Code code = count ? store_publish(w->job->store, puts, count, NULL, err) : E_OK;
    if (code == E_OK)
        for (size_t i = 0; i < count; i++)
            staged[i]->staged = NULL; /* the store's now */
    return code;
}

static Code finish_files(Write *w, DataFile **ret_files, size_t *ret_count, WriteStats *ret_stats,
                         Err *err)
{
    size_t most = w->sink->count;
    DataFile *files = arena_array(w->arena, DataFile, most + 1);
    StorePut *puts = arena_array(w->arena, StorePut, most + 1);
    StageFile **staged = arena_array(w->arena, StageFile *, most + 1);
    WriteStats stats = { 0 };
    size_t count = 0;
    for (size_t i = 0; i < most; i++) {
        StageFile *from = w->sink->files[i];
        if (!from->finished)
            return err_set(err, E_INTERNAL, "a staged file was not finished");
        DataFile *file = &files[count];
        TRY(describe_file(w, from, file, err));
        if (file->record_count == 0)
            continue;
        staged[count] = from;
        puts[count] = (StorePut){ .condition = PUT_IF_ABSENT,
                                  .trust = TRUST_OURS,
                                  .content_type = STR("application/vnd.apache.parquet") };
        if (!store_address_parse(file->address, &puts[count].bucket, &puts[count].key))
            return err_set(err, E_INVALID, STR_FMT " is no location", STR_ARG(w->job->location));
        stats.rows += (uint64_t)file->record_count;
        stats.bytes += (uint64_t)file->size_bytes;
        count++;
    }
    if (stats.rows != (uint64_t)w->rows)
        return err_set(err, E_INTERNAL, "the files hold %llu rows, %lld were written",
                       (unsigned long long)stats.rows, (long long)w->rows);
    TRY(intend(w, files, count, err));
    TRY(publish(w, puts, staged, count, err));
    stats.files = count;
    stats.elapsed_us = os_monotonic_us(w->job->os) - w->started_us;
    *ret_files = files;
    *ret_count = count;
    *ret_stats = stats;
    return E_OK;
}

static Code write_all(Write *w, DataFile **ret_files, size_t *ret_count, WriteStats *ret_stats,
                      Err *err)
{
    TRY(look_at_columns(w, err));
    TRY(check_columns(w, err));
    TRY(put_copy(w, err));
    TRY(run_copy(w, err));
    return finish_files(w, ret_files, ret_count, ret_stats, err);
}

Code write_run(Engine *engine, EnginePool pool, const WriteJob *job, Arena *arena,
               DataFile **ret_files, size_t *ret_count, WriteStats *ret_stats, Err *err)
{
    if (job->spec && job->spec->field_count > SPEC_FIELDS_MAX)
        return err_set(err, E_LIMIT, "more than %d partition fields", SPEC_FIELDS_MAX);
    Write w = {
        .job = job, .engine = engine, .arena = arena, .started_us = os_monotonic_us(job->os)
    };
    buf_init(&w.text, TEXT_MAX);
    if (job->sort && job->sort->field_count > 0)
        pool = ENGINE_ORDERED;
    int64_t wait_us = job->timeout_us ? job->timeout_us : WRITE_WAIT_US;
    Code code = engine_lease(engine, pool, wait_us, job->cancel, &w.lease, err);
    if (code == E_OK) {
        w.sink = stage_sink_new(job->store, job->from_reserve);
        code = write_all(&w, ret_files, ret_count, ret_stats, err);
    }
    stage_sink_free(&w.sink);
    engine_return(&w.lease);
    buf_done(&w.text);
    return code;
}
