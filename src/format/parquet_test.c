/* Covers parquet.c, parquet_pages.c, thrift.c. */
#include "base/buf.h"
#include "base/test.h"
#include "format/parquet.h"

#include <string.h>

/* Written by Arrow C++ 26: id INT32 with field id 7 (1, 2, null), d STRING ("x", "yy", null). */
static const char footer_bytes[] =
    "\x15\x04\x19\x3c\x35\x00\x18\x06\x73\x63\x68\x65\x6d\x61\x15\x04\x00\x15\x02\x25\x02\x18\x02"
    "\x69"
    "\x64\x55\x0e\x00\x15\x0c\x25\x02\x18\x01\x64\x25\x00\x4c\x1c\x00\x00\x00\x16\x06\x19\x1c\x19"
    "\x2c"
    "\x26\x00\x1c\x15\x02\x19\x25\x06\x00\x19\x18\x02\x69\x64\x15\x00\x16\x06\x16\x7a\x16\x7a\x26"
    "\x08"
    "\x3c\x18\x04\x02\x00\x00\x00\x18\x04\x01\x00\x00\x00\x16\x02\x28\x04\x02\x00\x00\x00\x18\x04"
    "\x01"
    "\x00\x00\x00\x11\x11\x00\x19\x1c\x15\x00\x15\x00\x15\x02\x00\x3c\x29\x06\x19\x26\x02\x04\x00"
    "\x00"
    "\x00\x26\x00\x1c\x15\x0c\x19\x25\x06\x00\x19\x18\x01\x64\x15\x00\x16\x06\x16\x5e\x16\x5e\x26"
    "\x82"
    "\x01\x3c\x36\x02\x28\x02\x79\x79\x18\x01\x78\x11\x11\x00\x19\x1c\x15\x00\x15\x00\x15\x02\x00"
    "\x3c"
    "\x16\x06\x19\x06\x19\x26\x02\x04\x00\x00\x00\x16\xd8\x01\x16\x06\x26\x08\x16\xd8\x01\x00\x28"
    "\x20"
    "\x70\x61\x72\x71\x75\x65\x74\x2d\x63\x70\x70\x2d\x61\x72\x72\x6f\x77\x20\x76\x65\x72\x73\x69"
    "\x6f"
    "\x6e\x20\x32\x36\x2e\x30\x2e\x31\x19\x2c\x1c\x00\x00\x1c\x00\x00\x00";

enum { FILE_BYTES = 353 };

static Str the_footer(void)
{
    return str_of(footer_bytes, sizeof footer_bytes - 1);
}

TEST(parquet_footer_of_another_writer)
{
    Arena arena AUTO(arena_done) = { 0 };
    ParquetFooter footer;
    Err err;
    CHECK_OK(parquet_footer_decode(the_footer(), FILE_BYTES, &arena, &footer, &err), &err);
    CHECK_INT(footer.row_count, 3);
    CHECK_INT(footer.leaf_count, 2);
    CHECK_INT(footer.row_group_count, 1);
    CHECK_STR(footer.created_by, STR("parquet-cpp-arrow version 26.0.1"));
    CHECK(parquet_leaf_by_id(&footer, 7) == footer.leaves[0] && !parquet_leaf_by_id(&footer, 8));
    CHECK_INT(footer.leaves[0]->type, PARQUET_INT32);
    CHECK_INT(footer.leaves[0]->definition_max, 1);
    CHECK_INT(footer.leaves[1]->logical, PARQUET_L_STRING);
    CHECK_INT(footer.leaves[1]->field_id, PARQUET_NONE);
    const ParquetChunk *chunk = footer.row_groups[0].chunks;
    CHECK_INT(footer.row_groups[0].start, 4);
    CHECK_INT(chunk[0].value_count, 3);
    CHECK_INT(chunk[0].null_count, 1);
    CHECK_INT(chunk[0].compressed_bytes, 61);
    CHECK_STR(chunk[0].min, str_of("\1\0\0\0", 4));
    CHECK_STR(chunk[0].max, str_of("\2\0\0\0", 4));
    CHECK_STR(chunk[1].min, STR("x"));
    CHECK_STR(chunk[1].max, STR("yy"));
    CHECK(chunk[1].has_min && chunk[1].min_exact);
}

TEST(parquet_footer_cut_anywhere_is_refused)
{
    for (size_t len = 0; len < the_footer().len; len++) {
        Arena arena AUTO(arena_done) = { 0 };
        ParquetFooter footer;
        Err err;
        CHECK_CODE(
            parquet_footer_decode(str_of(footer_bytes, len), FILE_BYTES, &arena, &footer, &err),
            E_CORRUPT);
    }
}

TEST(parquet_footer_offsets_are_inside_the_file)
{
    Arena arena AUTO(arena_done) = { 0 };
    ParquetFooter footer;
    Err err;
    CHECK_CODE(parquet_footer_decode(the_footer(), FILE_BYTES - 1, &arena, &footer, &err),
               E_CORRUPT);
    CHECK(strstr(err.text, "beyond the data") != NULL);
    CHECK_CODE(parquet_footer_decode(the_footer(), 10, &arena, &footer, &err), E_CORRUPT);
}

/* A schema that nests `levels` groups around one leaf, in compact Thrift. */
static void put_deep_schema(Buf *out, size_t levels)
{
    buf_put(out, STR("\x15\x02\x19\xFC")); /* version 1, list of structs */
    for (size_t count = levels + 1; count > 0; count >>= 7)
        buf_put_char(out, (char)((count & 127) | (count > 127 ? 128 : 0)));
    for (size_t i = 0; i < levels; i++)
        buf_put(out, str_of("\x48\x01g\x15\x02\x00", 6));     /* 4: name "g", 5: one child */
    buf_put(out, str_of("\x15\x02\x25\x00\x18\x01x\x00", 8)); /* 1: INT32, 3: required, 4: name */
    buf_put(out, str_of("\x16\x00\x19\x0C\x00", 5));          /* no rows, no row groups */
}

TEST(parquet_schema_depth_has_a_maximum)
{
    static const struct {
        size_t levels;
        Code code;
    } rows[] = {
        { 2, E_OK }, { 32, E_OK }, { 40, E_LIMIT }, { 16000, E_LIMIT }, { 50000, E_CORRUPT }
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Buf bytes AUTO(buf_done);
        ParquetFooter footer;
        Err err;
        buf_init(&bytes, 1 << 20);
        put_deep_schema(&bytes, rows[i].levels);
        CHECK_CODE(parquet_footer_decode(buf_str(&bytes), 1 << 20, &arena, &footer, &err),
                   rows[i].code);
    }
}

TEST(parquet_tail)
{
    static const struct {
        Str tail;
        uint64_t file_bytes;
        Code code;
    } rows[] = {
        { { "\xE9\0\0\0PAR1", 8 }, FILE_BYTES, E_OK },
        { { "\xE9\0\0\0PAR1", 8 }, 200, E_CORRUPT },
        { { "\xE9\0\0\0PAR2", 8 }, FILE_BYTES, E_CORRUPT },
        { { "\xE9\0\0\0PARE", 8 }, FILE_BYTES, E_UNSUPPORTED },
        { { "\0\0\0\0PAR1", 8 }, FILE_BYTES, E_CORRUPT },
        { { "\0\0\0PAR1", 7 }, FILE_BYTES, E_CORRUPT },
        { { "\xFF\xFF\xFF\xFFPAR1", 8 }, FILE_BYTES, E_CORRUPT },
        { { "\xFF\xFF\xFF\x7FPAR1", 8 }, UINT64_C(1) << 40, E_LIMIT },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t bytes = 0;
        Err err;
        CHECK_CODE(parquet_footer_size(rows[i].tail, rows[i].file_bytes, &bytes, &err),
                   rows[i].code);
        CHECK_INT(bytes, rows[i].code == E_OK ? 233 : 0);
    }
}

TEST(parquet_pages)
{
    /* 1: type 0, 2: 100 bytes, 3: 50 bytes, 5: { 1: 7 values } */
    Str page = str_of("\x15\x00\x15\xC8\x01\x15\x64\x2C\x15\x0E\x00\x00", 12);
    ParquetPage found;
    Err err;
    CHECK_OK(parquet_page_decode(page, 62, &found, &err), &err);
    CHECK_INT(found.header_bytes, 12);
    CHECK_INT(found.page_bytes, 50);
    CHECK_INT(found.uncompressed_bytes, 100);
    CHECK_INT(found.value_count, 7);
    CHECK_CODE(parquet_page_decode(page, 61, &found, &err), E_CORRUPT);
    for (size_t len = 0; len < page.len; len++)
        CHECK_CODE(parquet_page_decode(str_sub(page, 0, len), 62, &found, &err), E_CORRUPT);
    CHECK_CODE(parquet_page_decode(str_of("\x15\x00\x15\x01\x15\x64\x00", 7), 100, &found, &err),
               E_CORRUPT);
}

/* What stands before that footer in its file: the magic and one page a column. */
static const char data_bytes[] = "\x50\x41\x52\x31\x15\x00\x15\x1c\x15\x1c\x2c\x15\x06\x15\x00\x15"
                                 "\x06\x15\x06\x1c\x18\x04\x02\x00"
                                 "\x00\x00\x18\x04\x01\x00\x00\x00\x16\x02\x28\x04\x02\x00\x00\x00"
                                 "\x18\x04\x01\x00\x00\x00\x11\x11"
                                 "\x00\x00\x00\x02\x00\x00\x00\x03\x03\x01\x00\x00\x00\x02\x00\x00"
                                 "\x00\x15\x00\x15\x22\x15\x22\x2c"
                                 "\x15\x06\x15\x00\x15\x06\x15\x06\x1c\x36\x02\x28\x02\x79\x79\x18"
                                 "\x01\x78\x11\x11\x00\x00\x00\x02"
                                 "\x00\x00\x00\x03\x03\x01\x00\x00\x00\x78\x02\x00\x00\x00\x79\x79";

static Code read_file(void *arg, uint64_t at, void *bytes, size_t len, size_t *ret_len, Err *err)
{
    (void)err;
    Str file = *(Str *)arg;
    *ret_len = at < file.len ? MIN(len, file.len - (size_t)at) : 0;
    memcpy(bytes, file.ptr + at, *ret_len);
    return E_OK;
}

TEST(parquet_pages_of_another_writer)
{
    Arena arena AUTO(arena_done) = { 0 };
    ParquetFooter footer;
    Err err;
    char data[sizeof data_bytes - 1];
    memcpy(data, data_bytes, sizeof data);
    Str file = str_of(data, sizeof data);
    CHECK_OK(parquet_footer_decode(the_footer(), FILE_BYTES, &arena, &footer, &err), &err);
    CHECK_OK(parquet_pages_check(&footer, read_file, &file, &err), &err);
    ParquetChunk *chunk = &footer.row_groups[0].chunks[0];
    chunk->value_count = 4;
    CHECK_CODE(parquet_pages_check(&footer, read_file, &file, &err), E_CORRUPT);
    CHECK(strstr(err.text, "'id'") != NULL);
    chunk->value_count = 3;
    chunk->compressed_bytes -= 1; /* the page reaches beyond its chunk */
    CHECK_CODE(parquet_pages_check(&footer, read_file, &file, &err), E_CORRUPT);
    chunk->compressed_bytes += 1;
    size_t refused = 0;
    for (size_t at = 4; at < sizeof data; at++) {
        data[at] ^= 0x55;
        refused += parquet_pages_check(&footer, read_file, &file, &err) != E_OK;
        data[at] ^= 0x55;
    }
    CHECK(refused > 10);
    file.len = 50; /* the file ends early */
    CHECK_CODE(parquet_pages_check(&footer, read_file, &file, &err), E_CORRUPT);
}
