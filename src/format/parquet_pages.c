/* Page headers: one, and all of a file. */
#include "format/parquet.h"
#include "format/thrift_priv.h"

#include "base/buf.h"

enum {
    WINDOW_FIRST =
        512, /* of a header; most have less than 100 bytes, unless statistics are in it */
    PAGE_DICTIONARY = 2
};

/* Of a data page: 1 num_values; of version 2 also the lengths of its levels (5, 6). */
static void read_page_counts(Thrift *t, ThriftField field, bool v2, ParquetPage *page,
                             int64_t *ret_levels)
{
    if (!thrift_struct(t, field))
        return;
    for (ThriftField in = { 0 }; thrift_next(t, &in);) {
        if (in.id == 1)
            page->value_count = thrift_int(t, in, 0, INT32_MAX);
        else if (v2 && (in.id == 5 || in.id == 6))
            *ret_levels += thrift_int(t, in, 0, INT32_MAX);
        else
            thrift_skip(t, in);
    }
}

Code parquet_page_decode(Str bytes, uint64_t bytes_left, ParquetPage *ret_page, Err *err)
{
    Reader r = reader_of(str_sub(bytes, 0, PARQUET_PAGE_HEADER_MAX));
    Thrift t = { &r, 0 };
    ParquetPage page = { .type = PARQUET_NONE,
                         .page_bytes = PARQUET_NONE,
                         .value_count = PARQUET_NONE,
                         .uncompressed_bytes = PARQUET_NONE };
    int64_t levels = 0;
    thrift_begin(&t);
    for (ThriftField in = { 0 }; thrift_next(&t, &in);) {
        if (in.id == 1)
            page.type = (int32_t)thrift_int(&t, in, 0, INT32_MAX);
        else if (in.id == 2)
            page.uncompressed_bytes = thrift_int(&t, in, 0, INT32_MAX);
        else if (in.id == 3)
            page.page_bytes = thrift_int(&t, in, 0, INT32_MAX);
        else if (in.id == 5 || in.id == 7 || in.id == 8)
            read_page_counts(&t, in, in.id == 8, &page, &levels);
        else
            thrift_skip(&t, in);
    }
    page.header_bytes = (int64_t)r.at;
    if (page.type < 0 || page.page_bytes < 0 || page.uncompressed_bytes < 0)
        reader_fail(&r, "a page without type or sizes");
    else if ((uint64_t)page.header_bytes + (uint64_t)page.page_bytes > bytes_left)
        reader_fail(&r, "a page reaches beyond its column chunk");
    else if (levels > page.page_bytes || levels > page.uncompressed_bytes)
        reader_fail(&r, "a page's levels are longer than the page");
    TRY(reader_check(&r, "Parquet page", err));
    *ret_page = page;
    return E_OK;
}

/* Reads the page header at `at`, with a longer look when it does not end in the first bytes. */
static Code page_at(ParquetRead *read, void *arg, uint64_t at, uint64_t left, Buf *window,
                    ParquetPage *ret_page, Err *err)
{
    for (size_t want = WINDOW_FIRST;; want *= 8) {
        size_t len = (size_t)MIN((uint64_t)want, left), got = 0;
        buf_clear(window);
        if (!buf_reserve(window, len))
            return buf_end(window, "Parquet page header", err);
        TRY(read(arg, at, window->ptr, len, &got, err));
        Code code = parquet_page_decode(str_of(window->ptr, got), left, ret_page, err);
        if (code != E_CORRUPT || got < want || want >= PARQUET_PAGE_HEADER_MAX / 8)
            return code;
    }
}

static Code chunk_pages_check(const ParquetChunk *chunk, ParquetRead *read, void *arg, Buf *window,
                              Err *err)
{
    uint64_t at = (uint64_t)chunk->start, end = at + (uint64_t)chunk->compressed_bytes;
    int64_t values = 0;
    for (bool first = true; at < end && values < chunk->value_count; first = false) {
        ParquetPage page;
        TRY(page_at(read, arg, at, end - at, window, &page, err));
        if (page.uncompressed_bytes > PARQUET_PAGE_BYTES_MAX)
            return err_set(err, E_LIMIT, "a Parquet page of %lld bytes",
                           (long long)page.uncompressed_bytes);
        if (page.type == PAGE_DICTIONARY && !first)
            return err_set(err, E_CORRUPT,
                           "a dictionary page that is not the first of its column chunk");
        if (page.type != PAGE_DICTIONARY && page.value_count > 0)
            values += page.value_count;
        at += (uint64_t)page.header_bytes + (uint64_t)page.page_bytes;
    }
    if (values != chunk->value_count)
        return err_set(err, E_CORRUPT, "the pages hold %lld values, the column chunk says %lld",
                       (long long)values, (long long)chunk->value_count);
    return E_OK;
}

Code parquet_pages_check(const ParquetFooter *footer, ParquetRead *read, void *arg, Err *err)
{
    Buf window AUTO(buf_done);
    buf_init(&window, PARQUET_PAGE_HEADER_MAX);
    for (size_t i = 0; i < footer->row_group_count; i++) {
        for (size_t column = 0; column < footer->leaf_count; column++) {
            const ParquetChunk *chunk = &footer->row_groups[i].chunks[column];
            Code code = chunk_pages_check(chunk, read, arg, &window, err);
            if (code != E_OK)
                return err_wrap(err, code, "row group %zu, column '" STR_FMT "'", i,
                                STR_ARG(chunk->node->name));
        }
    }
    return E_OK;
}
