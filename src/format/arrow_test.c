/* Covers arrow_build.c, arrow_ipc.c, arrow_ipc_batch.c, arrow_ipc_schema.c, arrow_text.c, arrow_type.c, flat.c. */
#include "base/test.h"
#include "format/arrow_build.h"

#include <string.h>

/* A table of four rows by hand: id INTEGER, name VARCHAR, tags BIGINT[], at STRUCT(b BOOLEAN, d
 * DECIMAL(9,2)), m MAP(VARCHAR, INTEGER). Row 2 is null everywhere. */
enum { ROWS = 4 };

static void keep_schema(ArrowSchema *schema)
{
    schema->release = NULL;
}

static void keep_array(ArrowArray *array)
{
    array->release = NULL;
}

#define NODE(format_, name_, count_, children_)                                               \
    (ArrowSchema)                                                                             \
    {                                                                                         \
        .format = format_, .name = name_, .flags = ARROW_FLAG_NULLABLE, .n_children = count_, \
        .children = children_, .release = keep_schema                                         \
    }
#define DATA(length_, nulls_, buffer_count_, buffers_, child_count_, children_)                   \
    (ArrowArray)                                                                                  \
    {                                                                                             \
        .length = length_, .null_count = nulls_, .n_buffers = buffer_count_, .buffers = buffers_, \
        .n_children = child_count_, .children = children_, .release = keep_array                  \
    }

static const uint8_t valid[] = { 0xB }; /* rows 0, 1 and 3 */
static const int32_t ids[] = { 1, -2, 0, 4 };
static const int32_t name_offsets[] = { 0, 1, 3, 3, 3 };
static const char names[] = "aÖ"; /* "a", "Ö", null, "" */
static const int32_t tag_offsets[] = { 0, 2, 2, 2, 3 };
static const int64_t tags[] = { 10, INT64_MIN, 30 };
static const uint8_t truths[] = { 0x9 };
static const __int128 prices[] = { 123, -5, 0, 100000 };
static const int32_t map_offsets[] = { 0, 1, 1, 1, 2 };
static const int32_t key_offsets[] = { 0, 1, 2 };
static const char keys[] = "xy";
static const int32_t values[] = { 7, 8 };

static ArrowSchema leaf_schemas[] = {
    { .format = "i", .name = "id", .flags = 2, .release = keep_schema },
    { .format = "u", .name = "name", .flags = 2, .release = keep_schema },
    { .format = "l", .name = "item", .flags = 2, .release = keep_schema },
    { .format = "b", .name = "b", .flags = 2, .release = keep_schema },
    { .format = "d:9,2", .name = "d", .flags = 2, .release = keep_schema },
    { .format = "u", .name = "key", .release = keep_schema },
    { .format = "i", .name = "value", .flags = 2, .release = keep_schema },
};

typedef struct Table {
    ArrowSchema schema, columns[3], entries, *children[5], *item[1], *pair[2], *kv[2], *entry[1];
    ArrowArray array, data[5], leaves[6], entry_data, *child_data[5], *item_data[1], *pair_data[2],
        *kv_data[2], *entry_ptr[1];
    const void *buffers[12][3];
} Table;

static void table_init(Table *t)
{
    memset(t, 0, sizeof *t);
    t->item[0] = &leaf_schemas[2];
    t->pair[0] = &leaf_schemas[3];
    t->pair[1] = &leaf_schemas[4];
    t->kv[0] = &leaf_schemas[5];
    t->kv[1] = &leaf_schemas[6];
    t->entries = NODE("+s", "entries", 2, t->kv);
    t->entry[0] = &t->entries;
    t->columns[0] = NODE("+l", "tags", 1, t->item);
    t->columns[1] = NODE("+s", "at", 2, t->pair);
    t->columns[2] = NODE("+m", "m", 1, t->entry);
    ArrowSchema *children[] = { &leaf_schemas[0], &leaf_schemas[1], &t->columns[0], &t->columns[1],
                                &t->columns[2] };
    memcpy(t->children, children, sizeof children);
    t->schema = NODE("+s", "", 5, t->children);
    const void *buffers[][3] = {
        { valid, ids },
        { valid, name_offsets, names },
        { valid, tag_offsets },
        { valid },
        { valid, map_offsets },
        { NULL, tags },
        { NULL, truths },
        { NULL, prices },
        { NULL },
        { NULL, key_offsets, keys },
        { NULL, values },
        { NULL },
    };
    memcpy(t->buffers, buffers, sizeof buffers);
    t->leaves[0] = DATA(3, 0, 2, t->buffers[5], 0, NULL);
    t->leaves[1] = DATA(ROWS, 0, 2, t->buffers[6], 0, NULL);
    t->leaves[2] = DATA(ROWS, 0, 2, t->buffers[7], 0, NULL);
    t->leaves[3] = DATA(2, 0, 3, t->buffers[9], 0, NULL);
    t->leaves[4] = DATA(2, 0, 2, t->buffers[10], 0, NULL);
    t->item_data[0] = &t->leaves[0];
    t->pair_data[0] = &t->leaves[1];
    t->pair_data[1] = &t->leaves[2];
    t->kv_data[0] = &t->leaves[3];
    t->kv_data[1] = &t->leaves[4];
    t->entry_data = DATA(2, 0, 1, t->buffers[8], 2, t->kv_data);
    t->entry_ptr[0] = &t->entry_data;
    t->data[0] = DATA(ROWS, 1, 2, t->buffers[0], 0, NULL);
    t->data[1] = DATA(ROWS, 1, 3, t->buffers[1], 0, NULL);
    t->data[2] = DATA(ROWS, 1, 2, t->buffers[2], 1, t->item_data);
    t->data[3] = DATA(ROWS, 1, 1, t->buffers[3], 2, t->pair_data);
    t->data[4] = DATA(ROWS, -1, 2, t->buffers[4], 1, t->entry_ptr);
    for (int i = 0; i < 5; i++)
        t->child_data[i] = &t->data[i];
    t->array = DATA(ROWS, 0, 1, t->buffers[11], 5, t->child_data);
}

static const char *const json_rows[] = {
    ("{\"id\":1,\"name\":\"a\",\"tags\":[10,-9223372036854775808],\"at\":{\"b\":true,\"d\":1.23},"
     "\"m\":{\"x\":7}}"),
    "{\"id\":-2,\"name\":\"Ö\",\"tags\":[],\"at\":{\"b\":false,\"d\":-0.05},\"m\":{}}",
    "{\"id\":null,\"name\":null,\"tags\":null,\"at\":null,\"m\":null}",
    "{\"id\":4,\"name\":\"\",\"tags\":[30],\"at\":{\"b\":true,\"d\":1000.00},\"m\":{\"y\":8}}",
};

static void check_rows(const ArrowSchema *schema, const ArrowArray *array, int first)
{
    for (int64_t row = 0; row < array->length; row++) {
        Buf out AUTO(buf_done);
        buf_init(&out, 10000);
        JsonWriter w = json_writer(&out);
        arrow_put_json_row(&w, schema, array, row);
        CHECK_STR(buf_str(&out), str_z(json_rows[first + row]));
    }
}

TEST(arrow_json_of_rows)
{
    Table t;
    table_init(&t);
    check_rows(&t.schema, &t.array, 0);
    t.array.offset = 1;
    t.array.length = 3;
    check_rows(&t.schema, &t.array, 1);
}

TEST(arrow_csv_of_rows)
{
    Table t;
    Buf out AUTO(buf_done);
    table_init(&t);
    buf_init(&out, 10000);
    arrow_put_csv_header(&out, &t.schema);
    for (int row = 0; row < ROWS; row++)
        arrow_put_csv_row(&out, &t.schema, &t.array, row);
    CHECK_STR(buf_str(&out),
              STR("id,name,tags,at,m\r\n"
                  "1,a,\"[10,-9223372036854775808]\",\"{\"\"b\"\":true,\"\"d\"\":1.23}\",\"{"
                  "\"\"x\"\":7}\"\r\n"
                  "-2,Ö,[],\"{\"\"b\"\":false,\"\"d\"\":-0.05}\",{}\r\n"
                  ",,,,\r\n"
                  "4,\"\",[30],\"{\"\"b\"\":true,\"\"d\"\":1000.00}\",\"{\"\"y\"\":8}\"\r\n"));
}

static void stream_of(Table *t, Buf *out, int64_t skip)
{
    Err err;
    buf_init(out, 1 << 20);
    CHECK_OK(arrow_ipc_schema_put(out, &t->schema, &err), &err);
    t->array.offset = skip;
    t->array.length = ROWS - skip;
    CHECK_OK(arrow_ipc_batch_put(out, &t->schema, &t->array, &err), &err);
    arrow_ipc_eos_put(out);
}

TEST(arrow_ipc_gives_rows_back_from_any_offset)
{
    for (int64_t skip = 0; skip <= ROWS; skip++) {
        Table t;
        Buf stream AUTO(buf_done);
        ArrowIpcReader *reader AUTO(arrow_ipc_reader_free) = NULL;
        Err err;
        int64_t rows = -1;
        table_init(&t);
        stream_of(&t, &stream, skip);
        CHECK_OK(arrow_ipc_reader_new(&reader, &err), &err);
        for (size_t at = 0; at < stream.len; at++) { /* byte by byte */
            ArrowArray array AUTO(arrow_array_done) = { .release = NULL };
            const ArrowSchema *schema;
            CHECK_OK(arrow_ipc_reader_feed(reader, str_of(stream.ptr + at, 1), &err), &err);
            CHECK_OK(arrow_ipc_reader_next(reader, &array, &err), &err);
            CHECK_OK(arrow_ipc_reader_schema(reader, &schema, &err), &err);
            if (array.release) {
                rows = array.length;
                check_rows(schema, &array, (int)skip);
            }
        }
        CHECK_INT(rows, ROWS - skip);
        CHECK(arrow_ipc_reader_at_end(reader));
        CHECK_CODE(arrow_ipc_reader_feed(reader, STR("x"), &err), E_CORRUPT);
    }
}

/* No change of one byte may crash or read outside (a sanitizer looks); what is taken is printable.
 */
TEST(arrow_ipc_every_byte_changed)
{
    Table t;
    Buf stream AUTO(buf_done);
    Err err;
    size_t refused = 0;
    table_init(&t);
    stream_of(&t, &stream, 0);
    for (size_t at = 0; at < stream.len; at++) {
        for (int change = 0; change < 3; change++) {
            ArrowIpcReader *reader AUTO(arrow_ipc_reader_free) = NULL;
            ArrowArray array AUTO(arrow_array_done) = { .release = NULL };
            const ArrowSchema *schema = NULL;
            char before = stream.ptr[at];
            stream.ptr[at] = (char)(change == 0 ? before ^ 1 : change == 1 ? 0xFF : before + 64);
            CHECK_OK(arrow_ipc_reader_new(&reader, &err), &err);
            CHECK_OK(arrow_ipc_reader_feed(reader, buf_str(&stream), &err), &err);
            Code code = arrow_ipc_reader_next(reader, &array, &err);
            refused += code != E_OK;
            if (code == E_OK && array.release &&
                arrow_ipc_reader_schema(reader, &schema, &err) == E_OK)
                for (int64_t row = 0; row < array.length; row++) {
                    Buf out AUTO(buf_done);
                    buf_init(&out, 10000);
                    arrow_put_csv_row(&out, schema, &array, row);
                }
            stream.ptr[at] = before;
        }
    }
    CHECK(refused > stream.len / 2);
}

TEST(arrow_ipc_refuses)
{
    static const struct {
        Str bytes;
        Code code;
    } rows[] = {
        { STR_INIT("PAR1....PAR1...."), E_CORRUPT },
        { { "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 8 }, E_LIMIT },
        { { "\xFF\xFF\xFF\xFF\x08\0\0\0\xFF\xFF\xFF\xFF\0\0\0\0", 16 }, E_CORRUPT },
        { { "\xFF\xFF\xFF\xFF\x08\0\0\0\x04\0\0\0\0\0\0\0", 16 }, E_CORRUPT },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ArrowIpcReader *reader AUTO(arrow_ipc_reader_free) = NULL;
        ArrowArray array;
        Err err;
        CHECK_OK(arrow_ipc_reader_new(&reader, &err), &err);
        CHECK_OK(arrow_ipc_reader_feed(reader, rows[i].bytes, &err), &err);
        CHECK_CODE(arrow_ipc_reader_next(reader, &array, &err), rows[i].code);
    }
}

TEST(arrow_ipc_refuses_what_it_cannot_send)
{
    ArrowSchema strange = NODE("vu", "v", 0, NULL), *children[] = { &strange };
    ArrowSchema schema = NODE("+s", "", 1, children);
    Buf out AUTO(buf_done);
    Err err;
    buf_init(&out, 1000);
    CHECK_CODE(arrow_ipc_schema_put(&out, &schema, &err), E_UNSUPPORTED);
    CHECK(strstr(err.text, "'v'") != NULL);
}

static void check_text(const char *format, const void *value, const char *json)
{
    const void *buffers[] = { NULL, value };
    ArrowSchema schema = NODE(format, "x", 0, NULL);
    ArrowArray array = DATA(1, 0, 2, buffers, 0, NULL);
    Buf out AUTO(buf_done);
    buf_init(&out, 1000);
    JsonWriter w = json_writer(&out);
    arrow_put_json_value(&w, &schema, &array, 0);
    CHECK_STR(buf_str(&out), str_z(json));
}

TEST(arrow_text_of_values)
{
    check_text("tdD", &(int32_t){ -1 }, "\"1969-12-31\"");
    check_text("tdD", &(int32_t){ INT32_MAX }, "\"infinity\"");
    check_text("tdm", &(int64_t){ -1 }, "\"1969-12-31\"");
    check_text("tsu:", &(int64_t){ -1 }, "\"1969-12-31T23:59:59.999999\"");
    check_text("tsm:UTC", &(int64_t){ 1500 }, "\"1970-01-01T00:00:01.5Z\"");
    check_text("tss:", &(int64_t){ 0 }, "\"1970-01-01T00:00:00\"");
    check_text("tsu:", &(int64_t){ -INT64_MAX }, "\"-infinity\"");
    check_text("ttu", &(int64_t){ 86399999999 }, "\"23:59:59.999999\"");
    check_text("tDn", &(int64_t){ -1 }, "\"PT-0.000000001S\"");
    check_text("tDs", &(int64_t){ INT64_MIN }, "\"PT-9223372036854775808S\"");
    check_text("tin", (int32_t[]){ 1, 2, 0, 0 }, "\"P1M2D\"");
    check_text("tiM", &(int32_t){ 0 }, "\"PT0S\"");
    check_text("f", &(float){ 0.1f }, "0.1");
    check_text("f", &(float){ 16777216 }, "16777216.0");
    check_text("g", &(double){ 1e300 }, "1e300");
    check_text("e", &(uint16_t){ 0x3E00 }, "1.5");
    check_text("e", &(uint16_t){ 0xFC00 }, "\"-Infinity\"");
    check_text("d:38,0", &(__int128){ -1 }, "-1");
    check_text("d:3,3", &(__int128){ 7 }, "0.007");
    check_text("L", &(uint64_t){ UINT64_MAX }, "18446744073709551615");
    check_text("c", &(int8_t){ -128 }, "-128");
    check_text("w:3", "abc", "\"YWJj\"");
}

TEST(arrow_names_of_types)
{
    Table t;
    Buf out AUTO(buf_done);
    table_init(&t);
    buf_init(&out, 1000);
    for (int i = 0; i < 5; i++) {
        arrow_put_type_name(&out, t.children[i]);
        buf_put_char(&out, ';');
    }
    CHECK_STR(buf_str(&out),
              STR("INTEGER;VARCHAR;BIGINT[];STRUCT(\"b\" BOOLEAN, \"d\" DECIMAL(9,2));"
                  "MAP(VARCHAR, INTEGER);"));
}

TEST(arrow_schema_copies_are_their_own)
{
    Table t;
    ArrowSchema copy AUTO(arrow_schema_done) = { .release = NULL };
    table_init(&t);
    t.schema.metadata = "\1\0\0\0\1\0\0\0k\2\0\0\0vv";
    arrow_schema_copy(&t.schema, &copy);
    CHECK(copy.n_children == 5 &&
          copy.children[4]->children[0]->children[1]->format != leaf_schemas[6].format);
    CHECK_STR(str_z(copy.children[4]->children[0]->children[1]->format), STR("i"));
    CHECK(memcmp(copy.metadata, t.schema.metadata, 15) == 0);
}

TEST(arrow_batches_of_cells)
{
    enum { COLUMNS = 4, BATCH = 17 };
    static const ArrowCellType types[COLUMNS] = { ARROW_CELL_TEXT, ARROW_CELL_I64, ARROW_CELL_F64, ARROW_CELL_BOOL };
    ArrowArray batch = arrow_batch_new(COLUMNS);
    for (size_t c = 0; c < COLUMNS; c++)
        batch.children[c] = arrow_column_new(types[c], BATCH, 1 << 10);
    for (size_t i = 0; i < BATCH; i++)
        for (size_t c = 0; c < COLUMNS; c++)
            arrow_column_put(batch.children[c], (ArrowCell){ .set = i % 5 != 2, .text = i % 2 ? STR("ab") : STR(""),
                                                             .number = (int64_t)(c == 3 ? i % 3 == 0 : i * 7),
                                                             .real = (double)i / 2 });
    batch.length = BATCH;
    const int32_t *offsets = batch.children[0]->buffers[1];
    CHECK_INT(offsets[BATCH], 16);
    CHECK_STR(str_of((const char *)batch.children[0]->buffers[2] + offsets[15], 2), STR("ab"));
    CHECK_INT(((const int64_t *)batch.children[1]->buffers[1])[16], 112);
    CHECK(((const double *)batch.children[2]->buffers[1])[3] == 1.5);
    for (size_t c = 0; c < COLUMNS; c++) {
        const uint8_t *valid = batch.children[c]->buffers[0];
        CHECK_INT(batch.children[c]->null_count, 3);
        CHECK_INT(valid[0], 0x7b);
        CHECK_INT(valid[2], 1);
    }
    const uint8_t *bits = batch.children[3]->buffers[1];
    CHECK_INT(bits[0] | bits[1] << 8, 0x9249);
    arrow_array_done(&batch);
    CHECK(!batch.release);
}
