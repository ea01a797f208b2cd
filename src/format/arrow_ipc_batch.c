/* The RecordBatch message. Arrays are written from any offset, and read only when every length,
 * offset and text in them was checked: invariants of a read array are those of the Arrow columnar
 * format. */
#include "format/arrow_ipc_priv.h"

#include "base/vec.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_LENGTH, BATCH_NODES, BATCH_BUFFERS, BATCH_COMPRESSION };
enum { PAIR_BYTES = 16, ROWS_MAX = 1 << 28 };

typedef Vec(int64_t) Longs;

/* ---- writing ---- */

typedef struct BatchPut {
    Buf body;
    Longs nodes;   /* length, null count */
    Longs buffers; /* offset, length */
    Err *err;
} BatchPut;

static void batch_put_done(BatchPut *put)
{
    buf_done(&put->body);
    vec_done(&put->nodes);
    vec_done(&put->buffers);
}

/* Everything put since `from` is one buffer. */
static void end_buffer(BatchPut *put, size_t from)
{
    vec_push(&put->buffers, (int64_t)from);
    vec_push(&put->buffers, (int64_t)(put->body.len - from));
    buf_put_zeros(&put->body, (IPC_ALIGN - put->body.len % IPC_ALIGN) % IPC_ALIGN);
}

static void put_buffer(BatchPut *put, const void *bytes, size_t len)
{
    size_t from = put->body.len;
    buf_put(&put->body, str_of(bytes, len));
    end_buffer(put, from);
}

static bool bit_at(const uint8_t *bits, int64_t index)
{
    return bits[index >> 3] >> (index & 7) & 1;
}

/* Bits from any position, moved to start at a byte. */
static void put_bits(BatchPut *put, const uint8_t *bits, int64_t from, int64_t count)
{
    size_t start = put->body.len;
    if (from % 8 == 0) {
        buf_put(&put->body, str_of(bits + from / 8, (size_t)(count + 7) / 8));
    } else {
        for (int64_t i = 0; i < count; i += 8) {
            uint8_t byte = 0;
            for (int64_t bit = 0; bit < 8 && i + bit < count; bit++)
                byte |= (uint8_t)(bit_at(bits, from + i + bit) << bit);
            buf_put_char(&put->body, (char)byte);
        }
    }
    end_buffer(put, start);
}

static int64_t count_nulls(const ArrowArray *array, int64_t from, int64_t count)
{
    int64_t nulls = 0;
    if (array->n_buffers == 0 || !array->buffers[0] || array->null_count == 0)
        return 0;
    for (int64_t i = from; i < from + count; i++)
        nulls += !bit_at(array->buffers[0], i);
    return nulls;
}

static int64_t offset_at(const ArrowType *type, const void *offsets, int64_t index)
{
    return type->large ? ((const int64_t *)offsets)[index] : ((const int32_t *)offsets)[index];
}

/* Offsets that start at 0; gives the range of the values that they stand for. */
static void put_offsets(BatchPut *put, const ArrowType *type, const void *offsets, int64_t from,
                        int64_t count, int64_t *ret_from, int64_t *ret_to)
{
    size_t start = put->body.len;
    int64_t first = offsets ? offset_at(type, offsets, from) : 0;
    for (int64_t i = 0; i <= count; i++) {
        int64_t offset = offsets ? offset_at(type, offsets, from + i) - first : 0;
        if (type->large)
            write_u64le(&put->body, (uint64_t)offset);
        else
            write_u32le(&put->body, (uint32_t)offset);
    }
    *ret_from = first;
    *ret_to = offsets ? offset_at(type, offsets, from + count) : 0;
    end_buffer(put, start);
}

static Code put_array(BatchPut *put, const ArrowSchema *schema, const ArrowArray *array,
                      int64_t row, int64_t count);

/* An enumeration is written as the texts that it stands for. */
static void put_dictionary(BatchPut *put, const ArrowSchema *schema, const ArrowArray *array,
                           int64_t from, int64_t count)
{
    Buf text AUTO(buf_done);
    buf_init(&text, ARROW_BODY_BYTES_MAX);
    ArrowType index = arrow_type_of(schema->format), values = ipc_written_type(schema);
    size_t start = put->body.len;
    for (int64_t i = 0; i <= count; i++) {
        if (values.large)
            write_u64le(&put->body, text.len);
        else
            write_u32le(&put->body, (uint32_t)text.len);
        if (i == count)
            break;
        int64_t at = 0;
        memcpy(&at, (const char *)array->buffers[1] + (size_t)(from + i) * (index.bits / 8),
               index.bits / 8);
        if (!array->buffers[0] || array->null_count == 0 || bit_at(array->buffers[0], from + i))
            buf_put(&text, arrow_str(schema->dictionary, array->dictionary, at));
    }
    end_buffer(put, start);
    put_buffer(put, text.ptr, text.len);
    put->body.over = put->body.over || text.over;
}

static Code put_values(BatchPut *put, const ArrowType *type, const ArrowSchema *schema,
                       const ArrowArray *array, int64_t from, int64_t count)
{
    int64_t first = 0, last = 0;
    switch (type->kind) {
    case ARROW_UNKNOWN:
    case ARROW_NULL:
        break;
    case ARROW_BOOL:
        put_bits(put, array->buffers[1], from, count);
        break;
    case ARROW_UTF8:
    case ARROW_BINARY:
        if (schema->dictionary) {
            put_dictionary(put, schema, array, from, count);
            break;
        }
        put_offsets(put, type, array->buffers[1], from, count, &first, &last);
        put_buffer(put, last > first ? (const char *)array->buffers[2] + first : NULL,
                   (size_t)(last - first));
        break;
    case ARROW_LIST:
    case ARROW_MAP:
        put_offsets(put, type, array->buffers[1], from, count, &first, &last);
        return put_array(put, schema->children[0], array->children[0], first, last - first);
    case ARROW_FIXED_LIST:
        return put_array(put, schema->children[0], array->children[0], from * type->len,
                         count * type->len);
    case ARROW_STRUCT:
        for (int64_t i = 0; i < schema->n_children; i++)
            TRY(put_array(put, schema->children[i], array->children[i], from, count));
        break;
    case ARROW_INT:
    case ARROW_FLOAT:
    case ARROW_DECIMAL:
    case ARROW_FIXED:
    case ARROW_DATE:
    case ARROW_TIME:
    case ARROW_TIMESTAMP:
    case ARROW_DURATION:
    case ARROW_INTERVAL: {
        size_t width = arrow_width(type);
        put_buffer(put, count > 0 ? (const char *)array->buffers[1] + width * (size_t)from : NULL,
                   width * (size_t)count);
    }
    }
    return E_OK;
}

/* Rows `row` to `row + count` of an array, in rows of the array (its own offset is added here). */
static Code put_array(BatchPut *put, const ArrowSchema *schema, const ArrowArray *array,
                      int64_t row, int64_t count)
{
    ArrowType type = ipc_written_type(schema);
    if (type.kind == ARROW_UNKNOWN)
        return err_set(put->err, E_UNSUPPORTED, "Arrow: a type that cannot be sent (%s)",
                       schema->format);
    int64_t from = row + array->offset,
            nulls = type.kind == ARROW_NULL ? count : count_nulls(array, from, count);
    vec_push(&put->nodes, count);
    vec_push(&put->nodes, nulls);
    if (type.kind != ARROW_NULL) {
        if (nulls > 0)
            put_bits(put, array->buffers[0], from, count);
        else
            put_buffer(put, NULL, 0);
    }
    return put_values(put, &type, schema, array, from, count);
}

Code arrow_ipc_batch_put(Buf *out, const ArrowSchema *schema, const ArrowArray *array, Err *err)
{
    BatchPut put AUTO(batch_put_done) = { .err = err };
    buf_init(&put.body, ARROW_BODY_BYTES_MAX);
    for (int64_t i = 0; i < schema->n_children; i++)
        TRY(put_array(&put, schema->children[i], array->children[i], array->offset, array->length));
    TRY(buf_end(&put.body, "Arrow batch", err));
    FlatBuilder b AUTO(flat_builder_done) = { 0 };
    FlatRef buffers = flat_put_longs(&b, put.buffers.items, put.buffers.len, 2);
    FlatRef nodes = flat_put_longs(&b, put.nodes.items, put.nodes.len, 2);
    flat_table_begin(&b);
    flat_add(&b, BATCH_LENGTH, (uint64_t)array->length, 8);
    flat_add_ref(&b, BATCH_BUFFERS, buffers);
    flat_add_ref(&b, BATCH_NODES, nodes);
    TRY(ipc_message_put(out, &b, IPC_HEADER_BATCH, flat_table_end(&b), (int64_t)put.body.len, err));
    buf_put(out, buf_str(&put.body));
    return buf_end(out, "Arrow stream", err);
}

/* ---- reading ---- */

/* What a read array keeps until its release. */
typedef struct Hold {
    Arena arena;
    char *body;
} Hold;

typedef struct BatchGet {
    Hold *hold;
    size_t body_len;
    FlatVector nodes, buffers;
    size_t node, buffer; /* the next ones */
    const char *failure;
} BatchGet;

static void release_nothing(ArrowArray *array)
{
    array->release = NULL;
}

static void release_batch(ArrowArray *array)
{
    Hold *hold = array->private_data;
    array->release = NULL;
    free(hold->body);
    arena_done(&hold->arena);
    free(hold);
}

static void *fail(BatchGet *get, const char *why)
{
    if (!get->failure)
        get->failure = why;
    return NULL;
}

/* The next buffer, at least `wanted` bytes; NULL only after a failure. */
static const void *next_buffer(BatchGet *get, size_t wanted, size_t *ret_len)
{
    if (get->failure || get->buffer >= get->buffers.count)
        return fail(get, "fewer buffers than the schema has");
    const char *item = get->buffers.items.ptr + PAIR_BYTES * get->buffer++;
    uint64_t offset = load_u64le(item), len = load_u64le(item + 8);
    if (offset % IPC_ALIGN != 0 || offset > get->body_len || len > get->body_len - offset)
        return fail(get, "a buffer outside of the body");
    if (len < wanted)
        return fail(get, "a buffer that is too short");
    if (ret_len)
        *ret_len = (size_t)len;
    return get->hold->body + offset;
}

static bool next_node(BatchGet *get, int64_t *ret_length, int64_t *ret_nulls)
{
    if (get->failure || get->node >= get->nodes.count)
        return fail(get, "fewer nodes than the schema has") != NULL;
    const char *item = get->nodes.items.ptr + PAIR_BYTES * get->node++;
    int64_t length = (int64_t)load_u64le(item), nulls = (int64_t)load_u64le(item + 8);
    if (length < 0 || length > ROWS_MAX || nulls < 0 || nulls > length)
        return fail(get, "a node's length or count of nulls is wrong") != NULL;
    *ret_length = length;
    *ret_nulls = nulls;
    return true;
}

/* Offsets must not go back and must end inside of what they count; no offsets stand for no rows. */
static const void *next_offsets(BatchGet *get, const ArrowType *type, int64_t length)
{
    static const int64_t zero;
    size_t width = type->large ? 8 : 4;
    const void *offsets = next_buffer(get, length > 0 ? (size_t)(length + 1) * width : 0, NULL);
    if (get->failure)
        return NULL;
    if (length == 0)
        return &zero;
    int64_t before = offset_at(type, offsets, 0);
    for (int64_t i = 0; i <= length; i++) {
        int64_t offset = offset_at(type, offsets, i);
        if (offset < before || offset < 0)
            return fail(get, "offsets that go back");
        before = offset;
    }
    return offsets;
}

static void check_utf8(BatchGet *get, const ArrowType *type, const ArrowArray *array)
{
    const char *text = array->buffers[2];
    int64_t from = offset_at(type, array->buffers[1], 0);
    int64_t to = offset_at(type, array->buffers[1], array->length);
    if (!str_is_utf8(str_of(text + from, (size_t)(to - from))))
        fail(get, "text that is not UTF-8");
    for (int64_t i = 0; i < array->length; i++) {
        int64_t at = offset_at(type, array->buffers[1], i);
        if (at < to && (text[at] & 0xC0) == 0x80)
            fail(get, "text that is cut inside of a character");
    }
}

static void get_bytes(BatchGet *get, const ArrowType *type, ArrowArray *array)
{
    size_t len = 0;
    array->buffers[1] = next_offsets(get, type, array->length);
    array->buffers[2] = get->failure ? NULL : next_buffer(get, 0, &len);
    if (get->failure || array->length == 0)
        return;
    int64_t last = offset_at(type, array->buffers[1], array->length);
    if ((uint64_t)last > len)
        fail(get, "offsets beyond the bytes");
    else if (type->kind == ARROW_UTF8 && last > 0)
        check_utf8(get, type, array);
}

static void get_array(BatchGet *get, const ArrowSchema *schema, int64_t length_min, bool exact,
                      ArrowArray *array);

static void get_children(BatchGet *get, const ArrowSchema *schema, int64_t length_min, bool exact,
                         ArrowArray *array)
{
    array->n_children = schema->n_children;
    array->children = arena_array(&get->hold->arena, ArrowArray *, (size_t)schema->n_children);
    for (int64_t i = 0; i < schema->n_children; i++) {
        array->children[i] = arena_new(&get->hold->arena, ArrowArray);
        if (!get->failure)
            get_array(get, schema->children[i], length_min, exact, array->children[i]);
    }
}

static void get_map(BatchGet *get, const ArrowType *type, const ArrowSchema *schema,
                    ArrowArray *array)
{
    array->buffers[1] = next_offsets(get, type, array->length);
    if (get->failure)
        return;
    get_children(get, schema, offset_at(type, array->buffers[1], array->length), false, array);
    if (type->kind == ARROW_MAP && !get->failure &&
        (array->children[0]->null_count > 0 || array->children[0]->children[0]->null_count > 0))
        fail(get, "a map with a null entry or key");
}

static void get_values(BatchGet *get, const ArrowType *type, const ArrowSchema *schema,
                       ArrowArray *array)
{
    size_t length = (size_t)array->length;
    switch (type->kind) {
    case ARROW_UNKNOWN:
    case ARROW_NULL:
        break;
    case ARROW_BOOL:
        array->buffers[1] = next_buffer(get, (length + 7) / 8, NULL);
        break;
    case ARROW_UTF8:
    case ARROW_BINARY:
        get_bytes(get, type, array);
        break;
    case ARROW_LIST:
    case ARROW_MAP:
        get_map(get, type, schema, array);
        break;
    case ARROW_FIXED_LIST:
        if (type->len <= 0 || array->length > ROWS_MAX / type->len)
            fail(get, "a list of too many values");
        else
            get_children(get, schema, array->length * type->len, false, array);
        break;
    case ARROW_STRUCT:
        get_children(get, schema, array->length, true, array);
        break;
    case ARROW_INT:
    case ARROW_FLOAT:
    case ARROW_DECIMAL:
    case ARROW_FIXED:
    case ARROW_DATE:
    case ARROW_TIME:
    case ARROW_TIMESTAMP:
    case ARROW_DURATION:
    case ARROW_INTERVAL: {
        size_t wanted;
        if (__builtin_mul_overflow(length, arrow_width(type), &wanted))
            fail(get, "too many values");
        else
            array->buffers[1] = next_buffer(get, wanted, NULL);
    }
    }
}

static void get_array(BatchGet *get, const ArrowSchema *schema, int64_t length_min, bool exact,
                      ArrowArray *array)
{
    ArrowType type = arrow_type_of(schema->format);
    if (!next_node(get, &array->length, &array->null_count))
        return;
    if (array->length < length_min || (exact && array->length != length_min)) {
        fail(get, "a column that is not as long as its batch");
        return;
    }
    array->n_buffers = arrow_buffer_count(&type);
    array->buffers = arena_array(&get->hold->arena, const void *, (size_t)array->n_buffers);
    array->release = release_nothing;
    if (type.kind != ARROW_NULL)
        array->buffers[0] =
            next_buffer(get, array->null_count > 0 ? (size_t)(array->length + 7) / 8 : 0, NULL);
    if (type.kind != ARROW_NULL && array->null_count == 0)
        array->buffers[0] = NULL;
    if (!get->failure)
        get_values(get, &type, schema, array);
}

Code ipc_batch_get(Flat *flat, FlatTable header, Str body, const ArrowSchema *schema,
                   ArrowArray *ret_array, Err *err)
{
    int64_t length = flat_i64(flat, header, BATCH_LENGTH, 0);
    if (flat_table(flat, header, BATCH_COMPRESSION).at != 0)
        return err_set(err, E_UNSUPPORTED, "Arrow batch: compressed");
    BatchGet get = { .body_len = body.len };
    get.nodes = flat_vector(flat, header, BATCH_NODES, PAIR_BYTES);
    get.buffers = flat_vector(flat, header, BATCH_BUFFERS, PAIR_BYTES);
    if (flat->failure || length < 0 || length > ROWS_MAX)
        return err_set(err, E_CORRUPT, "Arrow batch: %s",
                       flat->failure ? flat->failure : "no possible length");
    get.hold = mem_new(sizeof *get.hold);
    get.hold->body = mem_new(MAX(body.len, (size_t)1));
    if (body.len > 0)
        memcpy(get.hold->body, body.ptr, body.len);
    ArrowArray array AUTO(arrow_array_done) = {
        .length = length, .n_buffers = 1, .release = release_batch, .private_data = get.hold
    };
    array.buffers = arena_array(&get.hold->arena, const void *, 1);
    get_children(&get, schema, length, true, &array);
    if (!get.failure && (get.node != get.nodes.count || get.buffer != get.buffers.count))
        fail(&get, "more nodes or buffers than the schema has");
    if (get.failure)
        return err_set(err, E_CORRUPT, "Arrow batch: %s", get.failure);
    *ret_array = array;
    array.release = NULL;
    return E_OK;
}
