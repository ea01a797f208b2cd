/* changes.c: what the feed of the store says of objects, as rows of bronze.objects.
 *
 * Invariants
 * 1. The columns, their order and types are those of the table that the lander makes of them.
 * 2. A scan gives each change once, in order, up to the newest at its opening; buckets of tables and
 *    changes that are no event of an object (buckets, trust) are left out, always the same ones. */
#include "source/objects_priv.h"

#include "base/text.h"
#include "base/vec.h"
#include "format/arrow_build.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_ROWS = 1000 };

struct SourceChanges {
    Store *store;
    Arena arena;
    Str skipped_bucket;
    ScanSource source;
};

typedef struct Column {
    const char *name;
    SourceColumnType type;
    Str (*text)(Arena *arena, const StoreChange *change);             /* no pointer: null */
    bool (*number)(const StoreChange *change, int64_t *ret_number); /* false: null */
} Column;

bool source_change_counts(const SourceChanges *changes, const StoreChange *change)
{
    bool event = change->kind == CHANGE_PUT || change->kind == CHANGE_DELETE || change->kind == CHANGE_TAGS;
    return event && !str_eq(change->bucket, changes->skipped_bucket);
}

static bool is_put(const StoreChange *change)
{
    return change->kind == CHANGE_PUT;
}

static Str text_event(Arena *arena, const StoreChange *change)
{
    (void)arena;
    return is_put(change)                      ? STR("put")
           : change->kind == CHANGE_TAGS       ? STR("tags")
           : change->object.delete_marker      ? STR("delete_marker")
                                               : STR("delete");
}

static Str text_bucket(Arena *arena, const StoreChange *change)
{
    (void)arena;
    return change->bucket;
}

/* Keys, types and tags are any bytes, texts of tables are UTF-8: the engine reads no file that holds another. */
static Str text_clean(Arena *arena, Str text)
{
    if (str_is_utf8(text))
        return text;
    Buf buf AUTO(buf_done);
    buf_init(&buf, 3 * text.len);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.ptr[i];
        if (byte >= 0x80 || byte == '%')
            buf_format(&buf, "%%%02X", byte);
        else
            buf_put_char(&buf, (char)byte);
    }
    return str_copy(arena, buf_str(&buf));
}

static Str text_key(Arena *arena, const StoreChange *change)
{
    return text_clean(arena, change->key);
}

static Str text_version(Arena *arena, const StoreChange *change)
{
    return object_version(arena, change->object.sequence);
}

static Str text_etag(Arena *arena, const StoreChange *change)
{
    return is_put(change) ? object_etag(arena, &change->object) : STR_NONE;
}

static Str text_sha256(Arena *arena, const StoreChange *change)
{
    const ObjectInfo *info = &change->object;
    return is_put(change) && info->has_sha256 ? hex_format(arena, str_of(info->sha256, sizeof info->sha256))
                                              : STR_NONE;
}

static Str text_type(Arena *arena, const StoreChange *change)
{
    Str type = change->object.content_type;
    return type.len > 0 ? text_clean(arena, type) : STR_NONE;
}

static Str text_address(Arena *arena, const StoreChange *change)
{
    return str_format(arena, "s3://" STR_FMT "/" STR_FMT, STR_ARG(change->bucket),
                      STR_ARG(text_key(arena, change)));
}

static Str text_source(Arena *arena, const StoreChange *change)
{
    Str source = source_tag(&change->object, STR("source"));
    Str key = text_key(arena, change);
    ptrdiff_t slash = str_find_char(key, '/');
    return source.len > 0 ? text_clean(arena, source) : slash > 0 ? str_sub(key, 0, (size_t)slash) : STR_NONE;
}

static Str text_name(Arena *arena, const StoreChange *change)
{
    Str name = source_tag(&change->object, STR("name"));
    Str key = text_key(arena, change);
    return name.len > 0 ? text_clean(arena, name) : str_from(key, (size_t)(str_rfind_char(key, '/') + 1));
}

static Str text_consent(Arena *arena, const StoreChange *change)
{
    return text_clean(arena, source_tag(&change->object, STR("consent")));
}

static bool number_sequence(const StoreChange *change, int64_t *ret_number)
{
    *ret_number = (int64_t)change->sequence;
    return true;
}

static bool number_time(const StoreChange *change, int64_t *ret_number)
{
    *ret_number = change->time_us;
    return true;
}

static bool number_size(const StoreChange *change, int64_t *ret_number)
{
    *ret_number = (int64_t)change->size_bytes;
    return is_put(change);
}

static bool number_ingested(const StoreChange *change, int64_t *ret_number)
{
    *ret_number = change->time_us;
    return is_put(change);
}

#define SOURCE_COLUMN(name, type, get, doc) { #name, COLUMN_##type, TEXT_##type(get), NUMBER_##type(get) },
#define TEXT_TEXT(get) text_##get
#define NUMBER_TEXT(get) NULL
#define TEXT_I64(get) NULL
#define NUMBER_I64(get) number_##get
#define TEXT_TIME(get) NULL
#define NUMBER_TIME(get) number_##get
static const Column COLUMNS[] = {
#include "source/objects.def"
};

size_t source_changes_columns(SourceColumn *ret_columns)
{
    _Static_assert(ARRAY_LEN(COLUMNS) <= SOURCE_COLUMNS_MAX, "too many columns");
    for (size_t i = 0; i < ARRAY_LEN(COLUMNS); i++)
        ret_columns[i] = (SourceColumn){ .name = str_z(COLUMNS[i].name), .type = COLUMNS[i].type };
    return ARRAY_LEN(COLUMNS);
}

/* ---- the schema ---- */

static const char *const FORMATS[] = { [COLUMN_TEXT] = "u", [COLUMN_I64] = "l",
                                       [COLUMN_TIME] = "tsu:UTC" };

/* The texts are constants; only the structs are memory. */
static void schema_release(ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release)
            schema->children[i]->release(schema->children[i]);
        mem_free(&schema->children[i]);
    }
    mem_free(&schema->children);
    schema->release = NULL;
}

static Code changes_schema(void *self, ArrowSchema *ret_schema, Err *err)
{
    (void)self;
    (void)err;
    ArrowSchema schema = { .format = "+s", .name = "", .n_children = ARRAY_LEN(COLUMNS),
                           .release = schema_release };
    schema.children = mem_new(ARRAY_LEN(COLUMNS) * sizeof *schema.children);
    for (size_t i = 0; i < ARRAY_LEN(COLUMNS); i++) {
        schema.children[i] = mem_new(sizeof **schema.children);
        *schema.children[i] = (ArrowSchema){ .format = FORMATS[COLUMNS[i].type],
                                             .name = COLUMNS[i].name,
                                             .flags = ARROW_FLAG_NULLABLE,
                                             .release = schema_release };
    }
    *ret_schema = schema;
    return E_OK;
}

/* ---- batches ---- */

static ArrowArray *column_array(const Column *column, Arena *tmp, const StoreChange *changes,
                                size_t count)
{
    ArrowArray *array = arrow_column_new(column->text ? ARROW_CELL_TEXT : ARROW_CELL_I64, count,
                                         (size_t)BATCH_ROWS * 4096);
    for (size_t i = 0; i < count; i++) {
        ArrowCell cell = { 0 };
        if (column->text) {
            cell.text = column->text(tmp, &changes[i]);
            cell.set = cell.text.ptr != NULL;
        } else {
            cell.set = column->number(&changes[i], &cell.number);
        }
        arrow_column_put(array, cell);
    }
    return array;
}

typedef struct ChangesScan {
    SourceChanges *changes;
    Arena arena; /* of the scan */
    size_t *columns;
    size_t column_count;
    uint64_t after, until;
} ChangesScan;

/* The changes in between are all that the filters leave: `sequence` is the first column. */
static void range_narrow(ChangesScan *scan, const ScanFilter *filter)
{
    if (filter->column != 0 || filter->value.kind != SCAN_VALUE_I64 || filter->value.i64 < 0)
        return;
    uint64_t value = (uint64_t)filter->value.i64;
    if (filter->op == SCAN_GT)
        scan->after = MAX(scan->after, value);
    else if (filter->op == SCAN_GE && value > 0)
        scan->after = MAX(scan->after, value - 1);
    else if (filter->op == SCAN_LE)
        scan->until = MIN(scan->until, value);
}

static Code changes_open(void *self, const ScanQuery *query, void **ret_scan, Err *err)
{
    (void)err;
    ChangesScan *scan = mem_new(sizeof *scan);
    scan->changes = self;
    scan->columns = arena_copy(&scan->arena, query->columns,
                               query->column_count * sizeof *query->columns);
    scan->column_count = query->column_count;
    scan->until = store_sequence(scan->changes->store);
    for (size_t i = 0; i < query->filter_count; i++)
        range_narrow(scan, &query->filters[i]);
    *ret_scan = scan;
    return E_OK;
}

/* The next changes that count, at most BATCH_ROWS; none: the end. */
static Code changes_take(ChangesScan *scan, Arena *tmp, StoreChange **ret_changes, size_t *ret_count,
                         Err *err)
{
    size_t kept = 0;
    while (kept == 0 && scan->after < scan->until) {
        size_t count = 0;
        TRY(store_feed_read(scan->changes->store, scan->after, BATCH_ROWS, tmp, ret_changes, &count, err));
        for (size_t i = 0; i < count; i++)
            if ((*ret_changes)[i].sequence <= scan->until &&
                source_change_counts(scan->changes, &(*ret_changes)[i]))
                (*ret_changes)[kept++] = (*ret_changes)[i];
        scan->after = count < BATCH_ROWS ? scan->until : (*ret_changes)[count - 1].sequence;
        if (kept == 0)
            arena_reset(tmp);
    }
    *ret_count = kept;
    return E_OK;
}

static Code changes_next(void *scan_pointer, ArrowArray *ret_array, Err *err)
{
    ChangesScan *scan = scan_pointer;
    Arena tmp AUTO(arena_done) = { 0 };
    StoreChange *changes = NULL;
    size_t count;
    *ret_array = (ArrowArray){ .release = NULL };
    TRY(changes_take(scan, &tmp, &changes, &count, err));
    if (count == 0)
        return E_OK;
    ArrowArray batch = arrow_batch_new(scan->column_count);
    batch.length = (int64_t)count;
    for (size_t i = 0; i < scan->column_count; i++)
        batch.children[i] = column_array(&COLUMNS[scan->columns[i]], &tmp, changes, count);
    *ret_array = batch;
    return E_OK;
}

static void changes_close(void *scan_pointer)
{
    ChangesScan *scan = scan_pointer;
    arena_done(&scan->arena);
    mem_free(&scan);
}

SourceChanges *source_changes_new(Store *store, Str skipped_bucket)
{
    SourceChanges *changes = mem_new(sizeof *changes);
    changes->store = store;
    changes->skipped_bucket = str_copy(&changes->arena, skipped_bucket);
    changes->source = (ScanSource){ .self = changes, .schema = changes_schema, .open = changes_open,
                                    .next = changes_next, .close = changes_close };
    return changes;
}

void source_changes_free(SourceChanges **changes_pointer)
{
    SourceChanges *changes = TAKE(*changes_pointer);
    if (!changes)
        return;
    arena_done(&changes->arena);
    mem_free(&changes);
}

const ScanSource *source_changes_scan(SourceChanges *changes)
{
    return &changes->source;
}
