/* index_rocksdb.c: the index in RocksDB, through its C API; nothing else of tarn knows it.
 *
 * Invariants
 * 1. RocksDB's own log is off. A batch carries the applied LSN, so whatever it flushed is a prefix
 * of the journal; what it did not flush is replayed.
 * 2. No setting that hides damage: paranoid checks, checksums on every read. What RocksDB could not
 *    flush is nobody's loss: the journal has it.
 * 3. It keeps no diary (index_silence.h): on a full disk that would end the process.
 * 4. A batch goes in by the order of its keys: a row is put where the one before was, without a search from the top.
 * 5. What a read needs in memory is blocks of some KiB: the index of a table is in two levels, since a whole
 *    one does not fit into a shard of the cache and would be unpacked again for each read. */
#include "store/index_silence.h"
#include "store/store_priv.h"

#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

enum { WRITE_BUFFER_BYTES = 16 * 1024 * 1024, OPEN_FILES_MAX = 256 };
#define CACHE_DEFAULT ((uint64_t)32 * 1024 * 1024)

struct Index {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read, *read_now;
    rocksdb_writeoptions_t *write;
    rocksdb_flushoptions_t *flush;
    char *dir;
};

struct IndexCursor {
    rocksdb_iterator_t *inner;
};

/* Takes RocksDB's text. */
static Code rocks_error(char *text, Err *err)
{
    if (!text)
        return E_OK;
    bool damaged = str_find(str_z(text), STR("Corruption")) >= 0;
    bool full = str_find(str_z(text), STR("No space")) >= 0;
    bool waits = str_starts(str_z(text), STR("Result incomplete")); /* of a read that must not */
    Code code = err_set(err, damaged ? E_CORRUPT : full ? E_NO_SPACE : waits ? E_UNAVAILABLE : E_IO,
                        "the index: %s", text);
    rocksdb_free(text);
    return damaged ? err_hint(err, code,
                              "start tarn again: the start makes it again from the journal")
                   : code;
}

static void rocks_close(Index *index)
{
    if (index->db)
        rocksdb_close(index->db);
    rocksdb_flushoptions_destroy(index->flush);
    rocksdb_writeoptions_destroy(index->write);
    rocksdb_readoptions_destroy(index->read);
    rocksdb_readoptions_destroy(index->read_now);
    rocksdb_options_destroy(index->options);
    rocksdb_cache_destroy(index->cache);
    free(index->dir);
    mem_free(&index);
}

static Index *rocks_new(uint64_t cache_bytes)
{
    Index *index = mem_new(sizeof *index);
    index->options = rocksdb_options_create();
    index->cache = rocksdb_cache_create_lru(cache_bytes ? cache_bytes : CACHE_DEFAULT);
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, index->cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_index_type(
        table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1);
    rocksdb_options_set_block_based_table_factory(index->options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_options_set_create_if_missing(index->options, 1);
    rocksdb_options_set_paranoid_checks(index->options, 1);
    rocksdb_options_set_atomic_flush(index->options, 1);
    rocksdb_options_set_write_buffer_size(index->options, WRITE_BUFFER_BYTES);
    rocksdb_options_set_max_open_files(index->options, OPEN_FILES_MAX);
    index_silence(index->options);
    rocksdb_options_set_compression(index->options, rocksdb_lz4_compression);
    index->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(index->read, 1);
    index->read_now = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(index->read_now, 1); /* kBlockCacheTier */
    index->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(index->write, 1);
    index->flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(index->flush, 1);
    return index;
}

/* A file that is missing, or one whose damage has made another sense of it. */
static bool is_incomplete(const char *text)
{
    static const Str signs[] = { STR_INIT("No such file"), STR_INIT("Invalid argument"),
                                 STR_INIT("Not implemented") };
    for (size_t i = 0; i < ARRAY_LEN(signs); i++)
        if (str_find(str_z(text), signs[i]) >= 0)
            return true;
    return false;
}

static Code rocks_open(Os *os, const char *dir, uint64_t cache_bytes, bool fresh, Index **ret_index,
                       Err *err)
{
    if (!os_has_threads(os))
        return err_set(err, E_UNSUPPORTED, "RocksDB does not run on a simulated machine");
    char *text = NULL;
    TRY(os_dir_make(os, dir, err)); /* RocksDB makes it for its file LOG only */
    Index *index = rocks_new(cache_bytes);
    if (fresh)
        rocksdb_destroy_db(index->options, dir, &text);
    if (!text)
        index->db = rocksdb_open(index->options, dir, &text);
    bool incomplete = text && is_incomplete(text);
    Code code = rocks_error(text, err);
    if (incomplete)
        code = err_wrap(err, E_CORRUPT, "it is not whole");
    if (code != E_OK) {
        rocks_close(index);
        return code;
    }
    index->dir = strdup(dir);
    ASSERT(index->dir && "memory");
    *ret_index = index;
    return E_OK;
}

static Code rocks_flush(Index *index, Err *err)
{
    char *text = NULL;
    rocksdb_flush(index->db, index->flush, &text);
    return rocks_error(text, err);
}

/* A second look at the files, by a reader of its own: what the first one has in its cache says nothing of the drive. */
static Code files_verify(const Index *index, Err *err)
{
    char *text = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    index_silence(options);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_readoptions_set_verify_checksums(read, 1);
    rocksdb_readoptions_set_fill_cache(read, 0);
    rocksdb_t *db = rocksdb_open_for_read_only(options, index->dir, 0, &text);
    if (db) {
        rocksdb_iterator_t *row = rocksdb_create_iterator(db, read);
        for (rocksdb_iter_seek_to_first(row); rocksdb_iter_valid(row); rocksdb_iter_next(row))
            ;
        rocksdb_iter_get_error(row, &text);
        rocksdb_iter_destroy(row);
        rocksdb_close(db);
    }
    rocksdb_readoptions_destroy(read);
    rocksdb_options_destroy(options);
    return rocks_error(text, err);
}

static Code rocks_verify(Index *index, Err *err)
{
    Code code = files_verify(index, err);
    return code == E_OK ? E_OK : files_verify(index, err); /* files may have gone while they were read */
}

/* Of one key the writes stay in their order: the last one counts. */
static int write_order(const void *a, const void *b)
{
    const IndexWrite *x = *(const IndexWrite *const *)a, *y = *(const IndexWrite *const *)b;
    int order = str_cmp(x->key, y->key);
    return order ? order : x < y ? -1 : x > y;
}

static Code rocks_apply(Index *index, const IndexWrite *writes, size_t count, Err *err)
{
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    const IndexWrite **sorted = mem_new(MAX(count, (size_t)1) * sizeof(IndexWrite *));
    for (size_t i = 0; i < count; i++)
        sorted[i] = &writes[i];
    qsort(sorted, count, sizeof(IndexWrite *), write_order);
    for (size_t i = 0; i < count; i++) {
        const IndexWrite *write = sorted[i];
        if (write->remove)
            rocksdb_writebatch_delete(batch, write->key.ptr, write->key.len);
        else
            rocksdb_writebatch_put(batch, write->key.ptr, write->key.len, write->value.ptr,
                                   write->value.len);
    }
    mem_free(&sorted);
    char *text = NULL;
    rocksdb_write(index->db, index->write, batch, &text);
    rocksdb_writebatch_destroy(batch);
    return rocks_error(text, err);
}

static Code rocks_cursor_open(Index *index, bool now, IndexCursor **ret_cursor, Err *err)
{
    (void)err;
    IndexCursor *cursor = mem_new(sizeof *cursor);
    cursor->inner = rocksdb_create_iterator(index->db, now ? index->read_now : index->read);
    *ret_cursor = cursor;
    return E_OK;
}

static void rocks_cursor_close(IndexCursor *cursor)
{
    rocksdb_iter_destroy(cursor->inner);
    mem_free(&cursor);
}

static Code cursor_there(IndexCursor *cursor, bool *ret_there, Err *err)
{
    bool there = rocksdb_iter_valid(cursor->inner);
    char *text = NULL;
    if (!there)
        rocksdb_iter_get_error(cursor->inner, &text);
    TRY(rocks_error(text, err));
    *ret_there = there;
    return E_OK;
}

static Code rocks_cursor_seek(IndexCursor *cursor, Str key, bool *ret_there, Err *err)
{
    rocksdb_iter_seek(cursor->inner, key.ptr, key.len);
    return cursor_there(cursor, ret_there, err);
}

static Code rocks_cursor_next(IndexCursor *cursor, bool *ret_there, Err *err)
{
    rocksdb_iter_next(cursor->inner);
    return cursor_there(cursor, ret_there, err);
}

static Str rocks_cursor_key(IndexCursor *cursor)
{
    size_t len;
    const char *ptr = rocksdb_iter_key(cursor->inner, &len);
    return str_of(ptr, len);
}

static Str rocks_cursor_value(IndexCursor *cursor)
{
    size_t len;
    const char *ptr = rocksdb_iter_value(cursor->inner, &len);
    return str_of(ptr, len);
}

const IndexOps index_rocksdb = {
    .name = "rocksdb",
    .persistent = true,
    .open = rocks_open,
    .close = rocks_close,
    .flush = rocks_flush,
    .verify = rocks_verify,
    .apply = rocks_apply,
    .cursor_open = rocks_cursor_open,
    .cursor_close = rocks_cursor_close,
    .cursor_seek = rocks_cursor_seek,
    .cursor_next = rocks_cursor_next,
    .cursor_key = rocks_cursor_key,
    .cursor_value = rocks_cursor_value,
};
