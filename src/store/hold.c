/* hold.c: what a copy of the store in use needs: nothing goes away while it is made, a place up to which it goes, and
 * whether a copied body is what was stored.
 *
 * Invariants
 * 1. A hold begins under `compacting`: whatever removes files has ended before it and looks at it afterwards.
 * 2. A hold is over by itself: with its time, and when the disk is full; it never begins again, so whoever ends it
 *    without an error knows that it stood all the time.
 * 3. The number of a point is read before its place: every change up to it lies in front of the place. */
#include "store/blob_format.h"
#include "store/store_priv.h"

#include <stdio.h>
#include <string.h>

/* ---- holds ---- */

static bool is_on(const Store *store, size_t i, int64_t now_us)
{
    return store->holds.rows[i].id && store->holds.rows[i].until_us > now_us;
}

bool store_hold_on(Store *store)
{
    int64_t now_us = os_monotonic_us(store->os);
    bool on = false;
    bool full = space_is_full(store);
    MUTEX_HELD(&store->holds.mutex);
    for (size_t i = 0; i < STORE_HOLDS_MAX; i++) {
        if (full || !is_on(store, i, now_us))
            store->holds.rows[i].id = 0;
        on = on || store->holds.rows[i].id;
    }
    return on;
}

bool store_hold_stands(Store *store, uint64_t id)
{
    int64_t now_us = os_monotonic_us(store->os);
    bool stands = false;
    MUTEX_HELD(&store->holds.mutex);
    for (size_t i = 0; i < STORE_HOLDS_MAX; i++)
        stands = stands || (id && store->holds.rows[i].id == id && is_on(store, i, now_us));
    return stands;
}

Code store_hold_begin(Store *store, int64_t seconds, uint64_t *ret_id, Err *err)
{
    MUTEX_HELD(&store->compacting);
    if (space_is_full(store))
        return err_hint(err, err_set(err, E_NO_SPACE, "the lake's disk is full: it has to free space first"),
                        "delete objects or add space, then start the backup again");
    int64_t now_us = os_monotonic_us(store->os);
    MUTEX_HELD(&store->holds.mutex);
    for (size_t i = 0; i < STORE_HOLDS_MAX; i++) {
        if (is_on(store, i, now_us))
            continue;
        uint64_t id;
        os_random(store->os, &id, sizeof id); /* also after a restart nobody else's */
        *ret_id = store->holds.rows[i].id = (id >> 1) | 1;
        store->holds.rows[i].until_us = now_us + seconds * 1000000;
        return E_OK;
    }
    return err_hint(err, err_set(err, E_LIMIT, "%d backups are being made already", STORE_HOLDS_MAX),
                    "wait for one of them; one that was killed is given up after a minute");
}

/* `seconds` 0 ends it. */
static Code hold_set(Store *store, uint64_t id, int64_t seconds, Err *err)
{
    int64_t now_us = os_monotonic_us(store->os);
    MUTEX_HELD(&store->holds.mutex);
    for (size_t i = 0; id && i < STORE_HOLDS_MAX; i++) {
        if (store->holds.rows[i].id != id || !is_on(store, i, now_us))
            continue;
        store->holds.rows[i].until_us = now_us + seconds * 1000000;
        store->holds.rows[i].id = seconds ? id : 0;
        return E_OK;
    }
    return err_hint(err, err_set(err, E_NOT_FOUND, "the lake does not stand still for this backup any more"),
                    "its time was over or the disk got full: start the backup again, it goes on where it was");
}

Code store_hold_renew(Store *store, uint64_t id, int64_t seconds, Err *err)
{
    return hold_set(store, id, MAX(seconds, 1), err);
}

Code store_hold_end(Store *store, uint64_t id, Err *err)
{
    return hold_set(store, id, 0, err);
}

/* ---- the point ---- */

Code store_point(Store *store, StorePoint *ret_point, Err *err)
{
    Journal *journal = store->backend_ops->journal(store->backend);
    if (!journal)
        return err_set(err, E_UNSUPPORTED, "this store is in memory: there are no files to copy");
    StorePoint point = { .sequence = store_sequence(store), .segment_bytes = journal_segment_bytes(journal) };
    point.end = journal_end(journal);
    point.begin = journal_start(journal);
    *ret_point = point;
    return E_OK;
}

/* ---- a copied body ---- */

enum { CHECK_BYTES = 16 * STORE_BLOCK_BYTES };

typedef struct Check {
    OsFile *file;
    const char *path;
    uint64_t file_len, size, blocks;
    uint32_t table_crc; /* as the footer has it */
    uint32_t crc, table_seen; /* of the file, of the table */
    Buf table;
} Check;

static void check_done(Check *check)
{
    os_file_close(&check->file);
    buf_done(&check->table);
}

static Code damage(const Check *check, uint64_t at, const char *what, Err *err)
{
    return err_place(err, err_set(err, E_CORRUPT, "%s of a stored object is damaged", what), "%s:%llu", check->path,
                     (unsigned long long)at);
}

static Code footer_read(Check *check, Str name, bool *ret_whole, Err *err)
{
    char footer[FOOTER_BYTES], id[2 * sizeof(BlobId) + 1];
    size_t got;
    *ret_whole = false;
    TRY(os_file_size(check->file, &check->file_len, err));
    if (check->file_len < FOOTER_BYTES)
        return E_OK;
    TRY(os_file_pread(check->file, footer, FOOTER_BYTES, check->file_len - FOOTER_BYTES, &got, err));
    check->size = load_u64le(footer + 24);
    check->blocks = load_u32le(footer + 20);
    check->table_crc = load_u32le(footer + 48);
    for (size_t i = 0; i < sizeof(BlobId); i++)
        snprintf(id + 2 * i, 3, "%02x", (unsigned)(uint8_t)footer[32 + i]);
    *ret_whole = got == FOOTER_BYTES && memcmp(footer, BLOB_MAGIC, 8) == 0 &&
                 load_u32le(footer + FOOTER_BYTES - 4) == crc32c(0, str_of(footer, FOOTER_BYTES - 4)) &&
                 check->size <= STORE_OBJECT_MAX && str_eq(name, str_z(id)) &&
                 check->blocks == (check->size + STORE_BLOCK_BYTES - 1) / STORE_BLOCK_BYTES &&
                 check->file_len == check->size + check->blocks * sizeof(uint32_t) + FOOTER_BYTES;
    return E_OK;
}

/* Of the body, whole blocks but for the last. */
static Code piece_check(Check *check, Str piece, uint64_t at, Err *err)
{
    for (size_t i = 0; i < piece.len; i += STORE_BLOCK_BYTES) {
        uint64_t block = (at + i) / STORE_BLOCK_BYTES;
        if (crc32c(0, str_sub(piece, i, STORE_BLOCK_BYTES)) != load_u32le(check->table.ptr + block * sizeof(uint32_t)))
            return damage(check, at + i, "a block", err);
    }
    return E_OK;
}

static Code body_check(Check *check, Err *err)
{
    Buf piece AUTO(buf_done);
    buf_init(&piece, CHECK_BYTES);
    size_t got;
    if (!buf_reserve(&piece, CHECK_BYTES))
        return buf_end(&piece, "a piece of a body", err);
    char *bytes = piece.ptr;
    for (uint64_t at = 0; at < check->file_len; at += got) {
        uint64_t end = at < check->size ? check->size : check->file_len;
        TRY(os_file_pread(check->file, bytes, (size_t)MIN(end - at, (uint64_t)CHECK_BYTES), at, &got, err));
        if (got == 0)
            return damage(check, at, "the length", err);
        check->crc = crc32c(check->crc, str_of(bytes, got));
        if (at < check->size)
            TRY(piece_check(check, str_of(bytes, got), at, err));
    }
    return E_OK;
}

Code store_file_check(Os *os, const char *path, Str name, bool *ret_whole, uint32_t *ret_crc32c, Err *err)
{
    Check check AUTO(check_done) = { .path = path };
    size_t got;
    buf_init(&check.table, STORE_OBJECT_MAX / STORE_BLOCK_BYTES * sizeof(uint32_t));
    TRY(os_file_open(os, path, OS_READ, &check.file, err));
    TRY(footer_read(&check, name, ret_whole, err));
    if (!*ret_whole)
        return E_OK;
    size_t table_len = check.blocks * sizeof(uint32_t);
    if (!buf_reserve(&check.table, table_len + 1))
        return buf_end(&check.table, "a table of checksums", err);
    char *table = check.table.ptr;
    TRY(os_file_pread(check.file, table, table_len, check.size, &got, err));
    check.table.len = got;
    if (got != table_len || crc32c(0, str_of(table, table_len)) != check.table_crc)
        return damage(&check, check.size, "the table of checksums", err);
    TRY(body_check(&check, err));
    *ret_crc32c = check.crc;
    return E_OK;
}
