/* Parquet: the first four bytes are the file's length, then a footer; a page header as well. */
#include "base/cursor.h"
#include "format/parquet.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check(const ParquetFooter *footer, uint64_t file_bytes)
{
    for (size_t i = 0; i < footer->row_group_count; i++) {
        for (size_t column = 0; column < footer->leaf_count; column++) {
            const ParquetChunk *chunk = &footer->row_groups[i].chunks[column];
            ASSERT(chunk->node == footer->leaves[column] && chunk->start >= 4);
            ASSERT((uint64_t)chunk->start + (uint64_t)chunk->compressed_bytes < file_bytes);
            ASSERT(chunk->null_count <= chunk->value_count);
        }
    }
}

/* The input stands for the pages as well. */
static Code read_input(void *arg, uint64_t at, void *bytes, size_t len, size_t *ret_len, Err *err)
{
    (void)err;
    Str file = *(Str *)arg;
    *ret_len = at < file.len ? MIN(len, file.len - (size_t)at) : 0;
    if (*ret_len > 0)
        memcpy(bytes, file.ptr + at, *ret_len);
    return E_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Arena arena AUTO(arena_done) = { 0 };
    ParquetFooter footer;
    ParquetPage page;
    Err err;
    uint64_t footer_bytes;
    if (len < 4)
        return 0;
    uint64_t file_bytes = load_u32le(bytes);
    Str rest = str_of(bytes + 4, len - 4);
    if (parquet_footer_decode(rest, file_bytes, &arena, &footer, &err) == E_OK) {
        check(&footer, file_bytes);
        IGNORE(parquet_pages_check(&footer, read_input, &rest, &err)); /* either answer is fine */
    }
    if (parquet_page_decode(rest, file_bytes, &page, &err) == E_OK)
        ASSERT((uint64_t)page.header_bytes + (uint64_t)page.page_bytes <= file_bytes);
    if (rest.len >= PARQUET_TAIL_LEN &&
        parquet_footer_size(str_sub(rest, 0, PARQUET_TAIL_LEN), file_bytes, &footer_bytes, &err) ==
            E_OK)
        ASSERT(footer_bytes + PARQUET_TAIL_LEN + 4 <= file_bytes);
    return 0;
}
