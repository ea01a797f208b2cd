/* The footer as parquet.thrift 2.11 defines it; field numbers stand beside the fields they fill.
 * Invariant: after a failure the Reader gives zeros, so loops end and one check at the end is
 * enough; what needs the whole footer (paths, sums, offsets) is checked after that. */
#include "format/parquet.h"
#include "format/thrift_priv.h"

#include <assert.h>

enum {
    FIXED_LEN_MAX = 1 << 20,
    PRECISION_MAX = 76,
    PATH_LEN_MAX = PARQUET_DEPTH_MAX,
    MAGIC_LEN = 4
};

static_assert((int)THRIFT_DEPTH_MAX == (int)PARQUET_THRIFT_DEPTH_MAX, "one maximum, two names");

typedef struct SchemaElement {
    ParquetNode node;
    int32_t child_count; /* PARQUET_NONE: not said */
    bool has_type;
    int32_t converted; /* PARQUET_NONE */
} SchemaElement;

typedef struct ChunkMeta {
    int32_t type;
    Str path[PATH_LEN_MAX];
    size_t path_len;
    int64_t data_page, dictionary_page;
    Str old_min, old_max;
    bool has_meta;
} ChunkMeta;

typedef struct Footer {
    Thrift t;
    Arena *arena;
    ParquetFooter *out;
    uint64_t data_end; /* where the footer begins: every page is before it */
    SchemaElement *elements;
    size_t element_count;
    Err *err;
} Footer;

static Reader *reader_in(Footer *f)
{
    return f->t.r;
}

static Str copied(Footer *f, Str bytes)
{
    return bytes.len > 0 ? str_copy(f->arena, bytes) : str_of("", 0);
}

/* ---- schema ---- */

static ParquetUnit read_unit(Thrift *t, ThriftField field)
{
    ParquetUnit unit = PARQUET_MICROS;
    if (!thrift_struct(t, field))
        return unit;
    for (ThriftField f = { 0 }; thrift_next(t, &f);) {
        if (f.id >= 1 && f.id <= 3)
            unit = (ParquetUnit)(f.id - 1);
        thrift_skip(t, f);
    }
    return unit;
}

/* The members of the struct inside LogicalType; which they are depends on the type. */
static void read_logical_members(Thrift *t, ThriftField field, ParquetNode *node)
{
    if (!thrift_struct(t, field))
        return;
    for (ThriftField f = { 0 }; thrift_next(t, &f);) {
        if (node->logical == PARQUET_L_DECIMAL && f.id == 1)
            node->scale = (int32_t)thrift_int(t, f, 0, PRECISION_MAX);
        else if (node->logical == PARQUET_L_DECIMAL && f.id == 2)
            node->precision = (int32_t)thrift_int(t, f, 1, PRECISION_MAX);
        else if ((node->logical == PARQUET_L_TIME || node->logical == PARQUET_L_TIMESTAMP) &&
                 f.id == 1)
            node->utc = thrift_bool(t, f);
        else if ((node->logical == PARQUET_L_TIME || node->logical == PARQUET_L_TIMESTAMP) &&
                 f.id == 2)
            node->unit = read_unit(t, f);
        else if (node->logical == PARQUET_L_INTEGER && f.id == 1)
            node->bit_width = (int32_t)thrift_int(t, f, 8, 64);
        else if (node->logical == PARQUET_L_INTEGER && f.id == 2)
            node->is_signed = thrift_bool(t, f);
        else
            thrift_skip(t, f);
    }
}

static void read_logical(Thrift *t, ThriftField field, ParquetNode *node)
{
    static const uint8_t kinds[] = {
        [1] = PARQUET_L_STRING,   [2] = PARQUET_L_MAP,       [3] = PARQUET_L_LIST,
        [4] = PARQUET_L_ENUM,     [5] = PARQUET_L_DECIMAL,   [6] = PARQUET_L_DATE,
        [7] = PARQUET_L_TIME,     [8] = PARQUET_L_TIMESTAMP, [9] = PARQUET_L_OTHER,
        [10] = PARQUET_L_INTEGER, [11] = PARQUET_L_NULL,     [12] = PARQUET_L_JSON,
        [13] = PARQUET_L_BSON,    [14] = PARQUET_L_UUID,     [15] = PARQUET_L_FLOAT16,
    };
    if (!thrift_struct(t, field))
        return;
    for (ThriftField f = { 0 }; thrift_next(t, &f);) {
        bool known = f.id > 0 && (size_t)f.id < ARRAY_LEN(kinds);
        node->logical = known ? (ParquetLogical)kinds[f.id] : PARQUET_L_OTHER;
        if (f.type == THRIFT_STRUCT)
            read_logical_members(t, f, node);
        else
            thrift_skip(t, f);
    }
}

/* The older ConvertedType says the same where there is no LogicalType. */
static void use_converted(SchemaElement *element)
{
    static const struct {
        uint8_t logical;
        uint8_t bits; /* of integers */
        uint8_t unit;
    } rows[] = {
        { PARQUET_L_STRING, 0, 0 },
        { PARQUET_L_MAP, 0, 0 },
        { PARQUET_L_MAP, 0, 0 },
        { PARQUET_L_LIST, 0, 0 },
        { PARQUET_L_ENUM, 0, 0 },
        { PARQUET_L_DECIMAL, 0, 0 },
        { PARQUET_L_DATE, 0, 0 },
        { PARQUET_L_TIME, 0, PARQUET_MILLIS },
        { PARQUET_L_TIME, 0, PARQUET_MICROS },
        { PARQUET_L_TIMESTAMP, 0, PARQUET_MILLIS },
        { PARQUET_L_TIMESTAMP, 0, PARQUET_MICROS },
        { PARQUET_L_INTEGER, 8, 0 },
        { PARQUET_L_INTEGER, 16, 0 },
        { PARQUET_L_INTEGER, 32, 0 },
        { PARQUET_L_INTEGER, 64, 0 },
        { PARQUET_L_INTEGER, 8, 0 },
        { PARQUET_L_INTEGER, 16, 0 },
        { PARQUET_L_INTEGER, 32, 0 },
        { PARQUET_L_INTEGER, 64, 0 },
        { PARQUET_L_JSON, 0, 0 },
        { PARQUET_L_BSON, 0, 0 },
        { PARQUET_L_OTHER, 0, 0 },
    };
    enum { FIRST_SIGNED = 15 };
    ParquetNode *node = &element->node;
    if (node->logical != PARQUET_L_NONE || element->converted < 0 ||
        (size_t)element->converted >= ARRAY_LEN(rows))
        return;
    node->logical = (ParquetLogical)rows[element->converted].logical;
    node->unit = (ParquetUnit)rows[element->converted].unit;
    node->utc = node->logical == PARQUET_L_TIME || node->logical == PARQUET_L_TIMESTAMP;
    if (node->logical == PARQUET_L_INTEGER) {
        node->bit_width = rows[element->converted].bits;
        node->is_signed = element->converted >= FIRST_SIGNED;
    }
}

static void read_element(Footer *f, ThriftField field, SchemaElement *element)
{
    Thrift *t = &f->t;
    ParquetNode *node = &element->node;
    node->field_id = node->column = element->child_count = element->converted = PARQUET_NONE;
    node->type = PARQUET_GROUP;
    node->is_signed = true;
    if (!thrift_struct(t, field))
        return;
    for (ThriftField in = { 0 }; thrift_next(t, &in);) {
        switch (in.id) {
        case 1:
            node->type = (ParquetType)thrift_int(t, in, 0, PARQUET_FIXED);
            element->has_type = true;
            break;
        case 2:
            node->fixed_len = (int32_t)thrift_int(t, in, INT32_MIN, FIXED_LEN_MAX);
            break;
        case 3:
            node->repetition = (ParquetRepetition)thrift_int(t, in, 0, PARQUET_REPEATED);
            break;
        case 4:
            node->name = copied(f, thrift_binary(t, in));
            break;
        case 5:
            element->child_count = (int32_t)thrift_int(t, in, 0, PARQUET_SCHEMA_MAX);
            break;
        case 6:
            element->converted = (int32_t)thrift_int(t, in, 0, INT32_MAX);
            break;
        case 7:
            node->scale = (int32_t)thrift_int(t, in, 0, PRECISION_MAX);
            break;
        case 8:
            node->precision = (int32_t)thrift_int(t, in, 0, PRECISION_MAX);
            break;
        case 9:
            node->field_id = (int32_t)thrift_int(t, in, INT32_MIN, INT32_MAX);
            break;
        case 10:
            read_logical(t, in, node);
            break;
        default:
            thrift_skip(t, in);
        }
    }
    use_converted(element);
}

static void read_schema(Footer *f, ThriftField field)
{
    ThriftField item;
    size_t count = thrift_list(&f->t, field, PARQUET_SCHEMA_MAX, &item);
    if (f->elements)
        reader_fail(reader_in(f), "two schemas");
    f->elements = arena_array(f->arena, SchemaElement, count);
    f->element_count = count;
    for (size_t i = 0; i < count && reader_ok(reader_in(f)); i++)
        read_element(f, item, &f->elements[i]);
}

static const char *element_fault(const SchemaElement *element, bool root)
{
    const ParquetNode *node = &element->node;
    if (element->has_type && element->child_count > 0)
        return "has a type and children";
    if (!element->has_type && element->child_count <= 0 && !root)
        return "has neither a type nor children";
    if (node->type == PARQUET_FIXED && node->fixed_len <= 0)
        return "has no length";
    if (element->has_type && node->logical == PARQUET_L_DECIMAL &&
        (node->precision < 1 || node->scale > node->precision))
        return "has no possible precision and scale";
    if (root && element->has_type)
        return "is the root and has a type";
    return NULL;
}

/* Links the list, which is in depth-first order, to a tree. */
static Code link_node(Footer *f, size_t *at, ParquetNode *parent, unsigned depth,
                      ParquetNode **ret_node)
{
    if (depth > PARQUET_DEPTH_MAX)
        return err_set(f->err, E_LIMIT, "Parquet schema is nested deeper than %d levels",
                       PARQUET_DEPTH_MAX);
    if (*at >= f->element_count)
        return err_set(f->err, E_CORRUPT, "Parquet schema: fewer elements than children");
    SchemaElement *element = &f->elements[(*at)++];
    ParquetNode *node = &element->node;
    const char *fault = element_fault(element, parent == NULL);
    if (fault)
        return err_set(f->err, E_CORRUPT, "Parquet schema: '" STR_FMT "' %s", STR_ARG(node->name),
                       fault);
    node->parent = parent;
    if (parent) {
        node->definition_max =
            (int16_t)(parent->definition_max + (node->repetition != PARQUET_REQUIRED));
        node->repetition_max =
            (int16_t)(parent->repetition_max + (node->repetition == PARQUET_REPEATED));
    }
    *ret_node = node;
    if (element->has_type) {
        node->column = (int32_t)f->out->leaf_count;
        f->out->leaves[f->out->leaf_count++] = node;
        return E_OK;
    }
    size_t count = (size_t)MAX(element->child_count, 0);
    if (count > f->element_count - *at)
        return err_set(f->err, E_CORRUPT, "Parquet schema: fewer elements than children");
    node->children = arena_array(f->arena, ParquetNode *, count);
    for (; node->child_count < count; node->child_count++)
        TRY(link_node(f, at, node, depth + 1, &node->children[node->child_count]));
    return E_OK;
}

static Code link_schema(Footer *f)
{
    size_t at = 0;
    f->out->leaves = arena_array(f->arena, ParquetNode *, f->element_count);
    TRY(link_node(f, &at, NULL, 0, &f->out->root));
    if (at != f->element_count)
        return err_set(f->err, E_CORRUPT, "Parquet schema: elements outside of the tree");
    return E_OK;
}

/* ---- column chunks ---- */

static int64_t count_or_none(Thrift *t, ThriftField field)
{
    int64_t count = thrift_int(t, field, INT64_MIN, INT64_MAX);
    return count < 0 ? PARQUET_NONE : count; /* some writers say -1 */
}

static void read_statistics(Footer *f, ThriftField field, ParquetChunk *chunk, ChunkMeta *meta)
{
    Thrift *t = &f->t;
    if (!thrift_struct(t, field))
        return;
    for (ThriftField in = { 0 }; thrift_next(t, &in);) {
        switch (in.id) {
        case 1:
            meta->old_max = copied(f, thrift_binary(t, in));
            break;
        case 2:
            meta->old_min = copied(f, thrift_binary(t, in));
            break;
        case 3:
            chunk->null_count = count_or_none(t, in);
            break;
        case 4:
            chunk->distinct_count = count_or_none(t, in);
            break;
        case 5:
            chunk->max = copied(f, thrift_binary(t, in));
            chunk->has_max = true;
            break;
        case 6:
            chunk->min = copied(f, thrift_binary(t, in));
            chunk->has_min = true;
            break;
        case 7:
            chunk->max_exact = thrift_bool(t, in);
            break;
        case 8:
            chunk->min_exact = thrift_bool(t, in);
            break;
        default:
            thrift_skip(t, in);
        }
    }
}

static void read_path(Footer *f, ThriftField field, ChunkMeta *meta)
{
    ThriftField item;
    size_t count = thrift_list(&f->t, field, PATH_LEN_MAX, &item);
    for (meta->path_len = 0; meta->path_len < count; meta->path_len++)
        meta->path[meta->path_len] = thrift_binary(&f->t, item);
}

static void read_column_meta(Footer *f, ThriftField field, ParquetChunk *chunk, ChunkMeta *meta)
{
    Thrift *t = &f->t;
    if (!thrift_struct(t, field))
        return;
    meta->has_meta = true;
    for (ThriftField in = { 0 }; thrift_next(t, &in);) {
        switch (in.id) {
        case 1:
            meta->type = (int32_t)thrift_int(t, in, 0, PARQUET_FIXED);
            break;
        case 3:
            read_path(f, in, meta);
            break;
        case 4:
            chunk->codec = (int32_t)thrift_int(t, in, 0, INT32_MAX);
            break;
        case 5:
            chunk->value_count = thrift_int(t, in, 0, INT64_MAX);
            break;
        case 6:
            chunk->uncompressed_bytes = thrift_int(t, in, 0, INT64_MAX);
            break;
        case 7:
            chunk->compressed_bytes = thrift_int(t, in, 0, INT64_MAX);
            break;
        case 9:
            meta->data_page = thrift_int(t, in, 0, INT64_MAX);
            break;
        case 11:
            meta->dictionary_page = thrift_int(t, in, 0, INT64_MAX);
            break;
        case 12:
            read_statistics(f, in, chunk, meta);
            break;
        default:
            thrift_skip(t, in);
        }
    }
}

/* How many bytes a minimum or maximum of this type has; 0: any number. */
static size_t bound_len(const ParquetNode *node)
{
    switch (node->type) {
    case PARQUET_BOOLEAN:
        return 1;
    case PARQUET_INT32:
    case PARQUET_FLOAT:
        return 4;
    case PARQUET_INT64:
    case PARQUET_DOUBLE:
        return 8;
    case PARQUET_INT96:
        return 12;
    case PARQUET_FIXED:
        return (size_t)node->fixed_len;
    case PARQUET_BYTE_ARRAY:
    case PARQUET_GROUP:
        break;
    }
    return 0;
}

/* Before min_value and max_value the order was that of signed numbers, whatever the type. */
static bool old_order_is_known(const ParquetNode *node)
{
    bool number = node->type == PARQUET_BOOLEAN || node->type == PARQUET_INT32 ||
                  node->type == PARQUET_INT64 || node->type == PARQUET_FLOAT ||
                  node->type == PARQUET_DOUBLE;
    return number && node->is_signed;
}

static void settle_bounds(Footer *f, const ParquetNode *node, ParquetChunk *chunk,
                          const ChunkMeta *meta)
{
    if (!chunk->has_min && !chunk->has_max && meta->old_min.ptr && meta->old_max.ptr &&
        old_order_is_known(node)) {
        chunk->min = meta->old_min;
        chunk->max = meta->old_max;
        chunk->has_min = chunk->has_max = chunk->min_exact = chunk->max_exact = true;
    }
    size_t len = bound_len(node);
    if (len == 0)
        return;
    if ((chunk->has_min && chunk->min.len != len && chunk->min.len != 0) ||
        (chunk->has_max && chunk->max.len != len && chunk->max.len != 0))
        reader_fail(reader_in(f), "a minimum or maximum does not have the length of its type");
    chunk->has_min =
        chunk->has_min && chunk->min.len == len; /* empty: some write it for no values */
    chunk->has_max = chunk->has_max && chunk->max.len == len;
}

static bool path_is(const ParquetNode *node, const ChunkMeta *meta)
{
    size_t at = meta->path_len;
    for (; node->parent; node = node->parent)
        if (at == 0 || !str_eq(meta->path[--at], node->name))
            return false;
    return at == 0;
}

static void check_chunk(Footer *f, const ParquetNode *node, ParquetChunk *chunk,
                        const ChunkMeta *meta)
{
    Reader *r = reader_in(f);
    uint64_t end;
    if (!meta->has_meta || (ParquetType)meta->type != node->type || !path_is(node, meta))
        reader_fail(r, "a column chunk is not that of the schema's column");
    if (chunk->null_count > chunk->value_count)
        reader_fail(r, "more nulls than values in a column chunk");
    bool dictionary = meta->dictionary_page > 0 && meta->dictionary_page < meta->data_page;
    chunk->start = dictionary ? meta->dictionary_page : meta->data_page;
    if (chunk->value_count == 0 &&
        chunk->start == 0) /* Arrow says no place where there is no page */
        chunk->start = MAX(meta->dictionary_page, (int64_t)MAGIC_LEN);
    if (chunk->start < MAGIC_LEN ||
        __builtin_add_overflow((uint64_t)chunk->start, (uint64_t)chunk->compressed_bytes, &end) ||
        end > f->data_end || meta->data_page > (int64_t)end)
        reader_fail(r, "a column chunk reaches beyond the data of the file");
    settle_bounds(f, node, chunk, meta);
}

static void read_chunk(Footer *f, ThriftField field, const ParquetNode *node, ParquetChunk *chunk)
{
    Thrift *t = &f->t;
    ChunkMeta meta = { .type = PARQUET_NONE };
    uint64_t index_at[2] = { 0 }, index_len[2] = { 0 };
    chunk->node = node;
    chunk->null_count = chunk->distinct_count = PARQUET_NONE;
    if (!thrift_struct(t, field))
        return;
    for (ThriftField in = { 0 }; thrift_next(t, &in);) {
        switch (in.id) {
        case 1:
            if (thrift_binary(t, in).len > 0)
                reader_fail(reader_in(f), "a column chunk in another file");
            break;
        case 3:
            read_column_meta(f, in, chunk, &meta);
            break;
        case 4: /* offset index; 6: column index */
        case 6:
            index_at[in.id / 2 - 2] = (uint64_t)thrift_int(t, in, 0, INT64_MAX);
            break;
        case 5:
        case 7:
            index_len[in.id / 2 - 2] = (uint64_t)thrift_int(t, in, 0, INT32_MAX);
            break;
        case 8:
        case 9:
            reader_fail(reader_in(f), "an encrypted column");
            break;
        default:
            thrift_skip(t, in);
        }
    }
    for (int i = 0; i < 2; i++)
        if (index_at[i] + index_len[i] > f->data_end)
            reader_fail(reader_in(f), "a page index reaches beyond the data of the file");
    if (reader_ok(reader_in(f)))
        check_chunk(f, node, chunk, &meta);
}

/* ---- row groups ---- */

static void read_chunks(Footer *f, ThriftField field, ParquetRowGroup *group)
{
    ThriftField item;
    size_t count = thrift_list(&f->t, field, PARQUET_SCHEMA_MAX, &item);
    if (count != f->out->leaf_count || group->chunks) {
        reader_fail(reader_in(f), "a row group does not have the columns of the schema");
        return;
    }
    group->chunks = arena_array(f->arena, ParquetChunk, count);
    for (size_t i = 0; i < count && reader_ok(reader_in(f)); i++)
        read_chunk(f, item, f->out->leaves[i], &group->chunks[i]);
}

static void read_row_group(Footer *f, ThriftField field, ParquetRowGroup *group)
{
    Thrift *t = &f->t;
    group->row_count = PARQUET_NONE;
    if (!thrift_struct(t, field))
        return;
    for (ThriftField in = { 0 }; thrift_next(t, &in);) {
        switch (in.id) {
        case 1:
            read_chunks(f, in, group);
            break;
        case 2:
            group->total_bytes = thrift_int(t, in, 0, INT64_MAX);
            break;
        case 3:
            group->row_count = thrift_int(t, in, 0, INT64_MAX);
            break;
        default:
            thrift_skip(t, in);
        }
    }
    if (group->row_count < 0 || !group->chunks) {
        reader_fail(reader_in(f), "a row group without rows or columns");
        return;
    }
    group->start = f->out->leaf_count > 0 ? group->chunks[0].start : MAGIC_LEN;
    for (size_t i = 0; i < f->out->leaf_count && reader_ok(reader_in(f)); i++)
        if (f->out->leaves[i]->repetition_max == 0 &&
            group->chunks[i].value_count != group->row_count)
            reader_fail(reader_in(f), "a column has not as many values as its row group has rows");
}

static void read_row_groups(Footer *f, ThriftField field)
{
    ThriftField item;
    size_t count = thrift_list(&f->t, field, PARQUET_ROW_GROUPS_MAX, &item);
    if (f->out->row_groups || count * MAX(f->out->leaf_count, (size_t)1) > PARQUET_CHUNKS_MAX) {
        reader_fail(reader_in(f), "too many row groups and columns");
        return;
    }
    f->out->row_groups = arena_array(f->arena, ParquetRowGroup, MAX(count, (size_t)1));
    f->out->row_group_count = count;
    for (size_t i = 0; i < count && reader_ok(reader_in(f)); i++)
        read_row_group(f, item, &f->out->row_groups[i]);
}

static void read_key_values(Footer *f, ThriftField field)
{
    ThriftField item;
    size_t count = thrift_list(&f->t, field, PARQUET_KEY_VALUES_MAX, &item);
    f->out->key_values = arena_array_raw(f->arena, count, sizeof *f->out->key_values);
    f->out->key_value_count = count;
    for (size_t i = 0; i < count && thrift_struct(&f->t, item); i++) {
        for (ThriftField in = { 0 }; thrift_next(&f->t, &in);) {
            if (in.id == 1)
                f->out->key_values[i].key = copied(f, thrift_binary(&f->t, in));
            else if (in.id == 2)
                f->out->key_values[i].value = copied(f, thrift_binary(&f->t, in));
            else
                thrift_skip(&f->t, in);
        }
    }
}

/* ---- the footer ---- */

static Code read_file_meta(Footer *f, bool *ret_encrypted)
{
    Thrift *t = &f->t;
    thrift_begin(t);
    for (ThriftField in = { 0 }; thrift_next(t, &in);) {
        switch (in.id) {
        case 1:
            f->out->version = (int32_t)thrift_int(t, in, 0, INT32_MAX);
            break;
        case 2:
            read_schema(f, in);
            TRY(reader_check(reader_in(f), "Parquet schema", f->err));
            TRY(link_schema(f));
            break;
        case 3:
            f->out->row_count = thrift_int(t, in, 0, INT64_MAX);
            break;
        case 4:
            if (!f->out->root)
                reader_fail(reader_in(f), "row groups before the schema");
            else
                read_row_groups(f, in);
            break;
        case 5:
            read_key_values(f, in);
            break;
        case 6:
            f->out->created_by = copied(f, thrift_binary(t, in));
            break;
        case 8:
            *ret_encrypted = true;
            thrift_skip(t, in);
            break;
        default:
            thrift_skip(t, in);
        }
    }
    return reader_check(reader_in(f), "Parquet footer", f->err);
}

static Code check_rows(const ParquetFooter *footer, Err *err)
{
    int64_t rows = 0;
    for (size_t i = 0; i < footer->row_group_count; i++)
        if (__builtin_add_overflow(rows, footer->row_groups[i].row_count, &rows))
            return err_set(err, E_CORRUPT, "Parquet footer: more rows than can be counted");
    if (rows != footer->row_count)
        return err_set(err, E_CORRUPT, "Parquet footer: %lld rows, but %lld in its row groups",
                       (long long)footer->row_count, (long long)rows);
    return E_OK;
}

Code parquet_footer_size(Str tail, uint64_t file_bytes, uint64_t *ret_footer_bytes, Err *err)
{
    if (tail.len != PARQUET_TAIL_LEN || file_bytes < MAGIC_LEN + PARQUET_TAIL_LEN)
        return err_set(err, E_CORRUPT, "too short for a Parquet file");
    Str magic = str_from(tail, MAGIC_LEN);
    if (str_eq(magic, STR("PARE")))
        return err_set(err, E_UNSUPPORTED, "an encrypted Parquet file");
    if (!str_eq(magic, STR("PAR1")))
        return err_set(err, E_CORRUPT, "no Parquet file: it does not end with PAR1");
    uint64_t bytes = load_u32le(tail.ptr);
    if (bytes == 0 || bytes > file_bytes - MAGIC_LEN - PARQUET_TAIL_LEN)
        return err_set(err, E_CORRUPT, "the Parquet footer does not fit into the file");
    if (bytes > PARQUET_FOOTER_BYTES_MAX)
        return err_set(err, E_LIMIT, "a Parquet footer of %llu bytes", (unsigned long long)bytes);
    *ret_footer_bytes = bytes;
    return E_OK;
}

Code parquet_footer_decode(Str footer, uint64_t file_bytes, Arena *arena, ParquetFooter *ret_footer,
                           Err *err)
{
    if (footer.len > PARQUET_FOOTER_BYTES_MAX)
        return err_set(err, E_LIMIT, "a Parquet footer of %zu bytes", footer.len);
    if (file_bytes < footer.len + MAGIC_LEN + PARQUET_TAIL_LEN)
        return err_set(err, E_CORRUPT, "the Parquet footer does not fit into the file");
    Reader r = reader_of(footer);
    ParquetFooter out = { 0 };
    bool encrypted = false;
    Footer f = { .t = { &r, 0 },
                 .arena = arena,
                 .out = &out,
                 .err = err,
                 .data_end = file_bytes - footer.len - PARQUET_TAIL_LEN };
    TRY(read_file_meta(&f, &encrypted));
    if (encrypted)
        return err_set(err, E_UNSUPPORTED, "an encrypted Parquet file");
    if (!out.root)
        return err_set(err, E_CORRUPT, "Parquet footer without a schema");
    TRY(check_rows(&out, err));
    *ret_footer = out;
    return E_OK;
}

const ParquetNode *parquet_leaf_by_id(const ParquetFooter *footer, int32_t field_id)
{
    for (size_t i = 0; i < footer->leaf_count; i++)
        if (footer->leaves[i]->field_id == field_id)
            return footer->leaves[i];
    return NULL;
}
