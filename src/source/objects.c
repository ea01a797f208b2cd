#include "source/objects_priv.h"

#include "base/text.h"
#include "base/vec.h"
#include "format/arrow.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_ROWS = STORE_LIST_MAX };

struct SourceObjects {
    Store *store;
    Arena arena;
    Str bucket;
    ScanSource source;
};

typedef enum ColumnType { COLUMN_TEXT, COLUMN_I64, COLUMN_TIME } ColumnType;

typedef struct Column {
    const char *name;
    ColumnType type;
    Str (*text)(Arena *arena, const ObjectInfo *info); /* no pointer: null */
    int64_t (*number)(const ObjectInfo *info);
} Column;

static Str tag(const ObjectInfo *info, Str key)
{
    for (size_t i = 0; i < info->tag_count; i++) {
        if (str_eq(info->tags[i].key, key))
            return info->tags[i].value;
    }
    return STR_NONE;
}

static Str text_address(Arena *arena, const ObjectInfo *info)
{
    return str_format(arena, "s3://" STR_FMT "/" STR_FMT, STR_ARG(info->bucket),
                      STR_ARG(info->key));
}

/* An object that came through another door has no tags: its key says as much as it can. */
static Str text_source(Arena *arena, const ObjectInfo *info)
{
    (void)arena;
    Str source = tag(info, STR("source"));
    ptrdiff_t slash = str_find_char(info->key, '/');
    return source.len > 0 ? source : slash > 0 ? str_sub(info->key, 0, (size_t)slash) : STR_NONE;
}

static Str text_name(Arena *arena, const ObjectInfo *info)
{
    (void)arena;
    Str name = tag(info, STR("name"));
    return name.len > 0 ? name : str_from(info->key, (size_t)(str_rfind_char(info->key, '/') + 1));
}

static Str text_sha256(Arena *arena, const ObjectInfo *info)
{
    return hex_format(arena, str_of(info->sha256, sizeof info->sha256));
}

static Str text_type(Arena *arena, const ObjectInfo *info)
{
    (void)arena;
    return info->content_type;
}

static Str text_consent(Arena *arena, const ObjectInfo *info)
{
    (void)arena;
    return tag(info, STR("consent"));
}

static int64_t number_size(const ObjectInfo *info)
{
    return (int64_t)info->size_bytes;
}

static int64_t number_time(const ObjectInfo *info)
{
    return info->modified_us;
}

static int64_t number_sequence(const ObjectInfo *info)
{
    return (int64_t)info->sequence;
}

static const Column COLUMNS[] = {
    { "address", COLUMN_TEXT, text_address, NULL },
    { "source", COLUMN_TEXT, text_source, NULL },
    { "name", COLUMN_TEXT, text_name, NULL },
    { "size_bytes", COLUMN_I64, NULL, number_size },
    { "sha256", COLUMN_TEXT, text_sha256, NULL },
    { "content_type", COLUMN_TEXT, text_type, NULL },
    { "ingested_at", COLUMN_TIME, NULL, number_time },
    { "sequence", COLUMN_I64, NULL, number_sequence },
    { "consent", COLUMN_TEXT, text_consent, NULL },
};

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

static Code objects_schema(void *self, ArrowSchema *ret_schema, Err *err)
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

typedef struct ColumnData {
    uint8_t *valid;
    int32_t *offsets; /* of texts */
    Buf bytes;
    int64_t *numbers;
    const void *buffers[3];
} ColumnData;

static void column_release(ArrowArray *array)
{
    ColumnData *data = array->private_data;
    mem_free(&data->valid);
    mem_free(&data->offsets);
    mem_free(&data->numbers);
    buf_done(&data->bytes);
    mem_free(&data);
    array->release = NULL;
}

static void batch_release(ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release)
            array->children[i]->release(array->children[i]);
        mem_free(&array->children[i]);
    }
    mem_free(&array->children);
    mem_free(&array->buffers);
    array->release = NULL;
}

static int64_t fill_text(ColumnData *data, const Column *column, Arena *tmp,
                         const ObjectInfo *objects, size_t count)
{
    int64_t nulls = 0;
    data->offsets = mem_new((count + 1) * sizeof *data->offsets);
    data->valid = mem_new(count / 8 + 1);
    buf_init(&data->bytes, (size_t)BATCH_ROWS * 4096);
    for (size_t i = 0; i < count; i++) {
        Str text = column->text(tmp, &objects[i]);
        if (text.ptr)
            data->valid[i / 8] |= (uint8_t)(1u << i % 8);
        nulls += !text.ptr;
        buf_put(&data->bytes, text);
        data->offsets[i + 1] = (int32_t)data->bytes.len;
    }
    buf_reserve(&data->bytes, 1); /* an address also when every text is empty */
    data->buffers[0] = data->valid;
    data->buffers[1] = data->offsets;
    data->buffers[2] = data->bytes.ptr;
    return nulls;
}

static void fill_numbers(ColumnData *data, const Column *column, const ObjectInfo *objects,
                         size_t count)
{
    data->numbers = mem_new((count + 1) * sizeof *data->numbers);
    for (size_t i = 0; i < count; i++)
        data->numbers[i] = column->number(&objects[i]);
    data->buffers[1] = data->numbers;
}

static ArrowArray *column_array(const Column *column, Arena *tmp, const ObjectInfo *objects,
                                size_t count)
{
    ColumnData *data = mem_new(sizeof *data);
    ArrowArray *array = mem_new(sizeof *array);
    *array = (ArrowArray){ .length = (int64_t)count, .private_data = data,
                           .release = column_release, .buffers = data->buffers };
    if (column->type == COLUMN_TEXT) {
        array->null_count = fill_text(data, column, tmp, objects, count);
        array->n_buffers = 3;
    } else {
        fill_numbers(data, column, objects, count);
        array->n_buffers = 2;
    }
    return array;
}

typedef struct ObjectsScan {
    SourceObjects *objects;
    Arena arena; /* of the scan */
    size_t *columns;
    size_t column_count;
    Str after;
    bool done;
} ObjectsScan;

static Code objects_open(void *self, const ScanQuery *query, void **ret_scan, Err *err)
{
    (void)err;
    ObjectsScan *scan = mem_new(sizeof *scan);
    scan->objects = self;
    scan->columns = arena_copy(&scan->arena, query->columns,
                               query->column_count * sizeof *query->columns);
    scan->column_count = query->column_count;
    *ret_scan = scan;
    return E_OK;
}

static Code objects_next(void *scan_pointer, ArrowArray *ret_array, Err *err)
{
    ObjectsScan *scan = scan_pointer;
    *ret_array = (ArrowArray){ .release = NULL };
    if (scan->done)
        return E_OK;
    Arena tmp AUTO(arena_done) = { 0 };
    StoreListPage page;
    StoreListQuery query = { .bucket = scan->objects->bucket, .start_after = scan->after,
                             .limit = BATCH_ROWS };
    TRY(store_list(scan->objects->store, &query, &tmp, &page, err));
    scan->done = !page.truncated;
    scan->after = str_copy(&scan->arena, page.next);
    if (page.object_count == 0)
        return E_OK;
    ArrowArray batch = { .length = (int64_t)page.object_count, .n_buffers = 1,
                         .n_children = (int64_t)scan->column_count, .release = batch_release };
    batch.buffers = mem_new(sizeof *batch.buffers);
    batch.children = mem_new((scan->column_count + 1) * sizeof *batch.children);
    for (size_t i = 0; i < scan->column_count; i++)
        batch.children[i] = column_array(&COLUMNS[scan->columns[i]], &tmp, page.objects,
                                         page.object_count);
    *ret_array = batch;
    return E_OK;
}

static void objects_close(void *scan_pointer)
{
    ObjectsScan *scan = scan_pointer;
    arena_done(&scan->arena);
    mem_free(&scan);
}

SourceObjects *source_objects_new(Store *store, Str bucket)
{
    SourceObjects *objects = mem_new(sizeof *objects);
    objects->store = store;
    objects->bucket = str_copy(&objects->arena, bucket);
    objects->source = (ScanSource){ .self = objects, .schema = objects_schema, .open = objects_open,
                                    .next = objects_next, .close = objects_close };
    return objects;
}

void source_objects_free(SourceObjects **objects_pointer)
{
    SourceObjects *objects = TAKE(*objects_pointer);
    if (!objects)
        return;
    arena_done(&objects->arena);
    mem_free(&objects);
}

const ScanSource *source_objects_source(SourceObjects *objects)
{
    return &objects->source;
}

/* ---- by source and name ---- */

typedef Vec(ObjectInfo) InfoVec;
typedef Vec(Str) NameVec;

static int by_sequence(const void *a, const void *b)
{
    const ObjectInfo *left = a;
    const ObjectInfo *right = b;
    return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

static Code collect(SourceObjects *objects, Str source, Str name, Arena *arena, InfoVec *found,
                    NameVec *names, Err *err)
{
    StoreListQuery query = { .bucket = objects->bucket,
                             .prefix = str_format(arena, STR_FMT "/", STR_ARG(source)) };
    for (;;) {
        StoreListPage page;
        TRY(store_list(objects->store, &query, arena, &page, err));
        for (size_t i = 0; i < page.object_count; i++) {
            Str its = text_name(arena, &page.objects[i]);
            if (found->len >= OBJECTS_FOUND_MAX)
                return err_set(err, E_LIMIT, "more than %d objects under one name",
                               OBJECTS_FOUND_MAX);
            if (str_eq(its, name))
                vec_push(found, page.objects[i]);
            else if (names->len < OBJECTS_FOUND_MAX)
                vec_push(names, its);
        }
        if (!page.truncated)
            return E_OK;
        query.start_after = page.next;
    }
}

static Code none_found(Str source, Str name, const NameVec *names, Err *err)
{
    Code code = err_set(err, E_NOT_FOUND, "source '" STR_FMT "' has no object '" STR_FMT "'",
                        STR_ARG(source), STR_ARG(name));
    Str nearest = str_nearest(name, names->items, names->len);
    if (nearest.ptr)
        return err_hint(err, code, "did you mean '" STR_FMT "'?", STR_ARG(nearest));
    return err_hint(err, code, "tarn ingest PATH --source " STR_FMT, STR_ARG(source));
}

Code source_objects_find(SourceObjects *objects, Str source, Str name, bool all, Arena *arena,
                         ObjectInfo **ret_objects, size_t *ret_count, Err *err)
{
    InfoVec found = { 0 };
    NameVec names = { 0 };
    Code code = collect(objects, source, name, arena, &found, &names, err);
    if (code == E_OK && found.len == 0)
        code = none_found(source, name, &names, err);
    if (code == E_OK) {
        qsort(found.items, found.len, sizeof *found.items, by_sequence);
        size_t count = all ? found.len : 1;
        *ret_objects = arena_copy(arena, found.items + found.len - count,
                                  count * sizeof *found.items);
        *ret_count = count;
    }
    vec_done(&found);
    vec_done(&names);
    return code;
}
