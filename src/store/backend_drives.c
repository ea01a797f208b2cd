/* backend_drives.c: the plain layout of one drive: records and small bodies in the journal, each
 * larger body one file.
 *
 * Invariants
 * 1. A blob's file is made under its final random name, in one of 256 directories that were made
 *    before; it is never renamed. Until a commit record names it, it is nobody's and may be
 * removed.
 * 2. blob_finish syncs the file, blob_names_sync its directory; both before the record is appended.
 * 3. A file is: the body, a CRC32C of each 64 KiB of it, a footer. The footer's own CRC covers the
 *    footer, its table CRC the table; no byte of the body leaves without its block's CRC.
 * 4. A clean end means that no blob is nobody's: removed names are synced before it is marked.
 * 5. A sync that failed fences the whole drive: the journal takes nothing more.
 * 6. Blobs that are made one after the other share a directory, so that a group syncs few. */
#include "store/blob_format.h"
#include "store/store_priv.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FAN_OUT = 256,
    BLOBS_A_DIRECTORY = 64,
    PIECE_BYTES = 1024 * 1024,   /* written at once, at most */
    PAGES_BYTES = 256 * 1024,    /* of one call: the page cache takes runs of memory as long as a call's bytes,
                                  * the longest where a virtual machine has given them back; short ones are
                                  * dear to send */
    GATHER_BYTES = 16 * 1024,    /* smaller pieces are gathered to so much */
    PAGE_BYTES = 4096,
    AHEAD_BYTES = 64 * 1024 * 1024, /* at most this much is allocated ahead */
    BLOB_NAME_MAX = 40
};

struct Backend {
    Os *os;
    Journal *journal;
    char *objects; /* the directory */
    atomic_uint created;
    uint8_t first_dir;
    atomic_bool unlinked[FAN_OUT]; /* a name went away and the directory was not synced since */
};

struct Blob {
    Backend *backend;
    BlobId id;
    OsFile *file;
    uint64_t size_bytes;
    Vec(uint32_t) table;
    /* While it is written: */
    Buf piece; /* gathered, at most GATHER_BYTES */
    uint64_t allocated;
    bool reading;
};

static Code blob_path(const Backend *backend, const BlobId *id, char *ret_path, Err *err)
{
    char name[2 * sizeof id->bytes + 1];
    for (size_t i = 0; i < sizeof id->bytes; i++)
        snprintf(name + 2 * i, 3, "%02x", id->bytes[i]);
    int len = snprintf(ret_path, OS_PATH_MAX, "%s/%.2s/%s", backend->objects, name, name);
    return len < OS_PATH_MAX ? E_OK : err_set(err, E_LIMIT, "the path of the store is too long");
}

static Code directory_path(const Backend *backend, unsigned number, char *ret_path, Err *err)
{
    int len = snprintf(ret_path, OS_PATH_MAX, "%s/%02x", backend->objects, number);
    return len < OS_PATH_MAX ? E_OK : err_set(err, E_LIMIT, "the path of the store is too long");
}

static Code directories_make(Backend *backend, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count;
    char path[OS_PATH_MAX];
    TRY(os_dir_make(backend->os, backend->objects, err));
    TRY(os_dir_list(backend->os, backend->objects, &tmp, &entries, &count, err));
    for (unsigned i = 0; i < FAN_OUT && count < FAN_OUT; i++) {
        TRY(directory_path(backend, i, path, err));
        TRY(os_dir_make(backend->os, path, err));
    }
    return os_dir_sync(backend->os, backend->objects, err); /* also of a start that ended before it came here */
}

static Code unlinked_sync(Backend *backend)
{
    char path[OS_PATH_MAX];
    for (unsigned i = 0; i < FAN_OUT; i++)
        if (atomic_exchange(&backend->unlinked[i], false)) {
            TRY(directory_path(backend, i, path, NULL));
            TRY(os_dir_sync(backend->os, path, NULL));
        }
    return E_OK;
}

static void drives_close(Backend *backend, bool clean)
{
    if (clean && unlinked_sync(backend) == E_OK)
        journal_close(&backend->journal);
    else
        journal_drop(&backend->journal);
    mem_free(&backend->objects);
    mem_free(&backend);
}

static Code drives_start(Backend *backend, const StoreOptions *options, uint64_t replay_from,
                         JournalVisit *visit, void *arg, bool *ret_clean, uint64_t *ret_segment_bytes, Err *err)
{
    char path[OS_PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/objects", options->dir);
    if (len >= (int)sizeof path - BLOB_NAME_MAX)
        return err_set(err, E_LIMIT, "the path of the store is too long");
    backend->objects = strdup(path);
    ASSERT(backend->objects && "memory");
    TRY(directories_make(backend, err));
    TRY(os_dir_sync(backend->os, options->dir, err));
    snprintf(path, sizeof path, "%s/journal", options->dir);
    JournalOptions journal = { path, options->segment_bytes, replay_from, ret_segment_bytes };
    JournalOpened opened;
    TRY(journal_open(backend->os, &journal, visit, arg, &opened, &backend->journal, err));
    *ret_clean = opened.clean;
    return E_OK;
}

static Code drives_open(Os *os, const StoreOptions *options, uint64_t replay_from,
                        JournalVisit *visit, void *arg, bool *ret_clean, uint64_t *ret_segment_bytes,
                        Backend **ret_backend, Err *err)
{
    Backend *backend = mem_new(sizeof *backend);
    backend->os = os;
    os_random(os, &backend->first_dir, sizeof backend->first_dir);
    Code code = drives_start(backend, options, replay_from, visit, arg, ret_clean, ret_segment_bytes, err);
    if (code != E_OK)
        drives_close(backend, false);
    else
        *ret_backend = backend;
    return code;
}

static Code drives_append(Backend *backend, JournalRecord *records, size_t count, Err *err)
{
    return journal_append(backend->journal, records, count, err);
}

static Code drives_body_read(Backend *backend, uint64_t lsn, size_t len, bool now, Buf *buf, Err *err)
{
    return journal_read_known(backend->journal, lsn, RECORD_BODY, len, now, buf, err);
}

static Journal *drives_journal(Backend *backend)
{
    return backend->journal;
}

static void drives_blob_close(Blob *blob)
{
    os_file_close(&blob->file);
    vec_done(&blob->table);
    buf_done(&blob->piece);
    mem_free(&blob);
}

static void blob_auto(Blob **blob)
{
    if (*blob)
        drives_blob_close(*blob);
}

static Code drives_blob_create(Backend *backend, BlobId *ret_id, Blob **ret_blob, Err *err)
{
    Blob *blob AUTO(blob_auto) = mem_new(sizeof *blob);
    char path[OS_PATH_MAX];
    blob->backend = backend;
    buf_init(&blob->piece, GATHER_BYTES);
    os_random(backend->os, blob->id.bytes, sizeof blob->id.bytes);
    unsigned number = atomic_fetch_add(&backend->created, 1) / BLOBS_A_DIRECTORY;
    blob->id.bytes[0] = (uint8_t)(backend->first_dir + number);
    TRY(blob_path(backend, &blob->id, path, err));
    TRY(os_file_open(backend->os, path, OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &blob->file,
                     err));
    *ret_id = blob->id;
    *ret_blob = TAKE(blob);
    return E_OK;
}

/* Allocates in steps that double, so that small blobs stay small. */
static Code allocate_ahead(Blob *blob, uint64_t end, Err *err)
{
    if (end <= blob->allocated)
        return E_OK;
    uint64_t more = MIN(MAX(blob->allocated, (uint64_t)PIECE_BYTES), (uint64_t)AHEAD_BYTES);
    uint64_t wanted = MAX(end, blob->allocated + more);
    Code code = os_file_allocate(blob->file, wanted, err);
    if (code == E_NO_SPACE && wanted > end) /* the last bytes of the disk are for bytes */
        code = os_file_allocate(blob->file, wanted = end, err);
    if (code != E_OK)
        return code;
    blob->allocated = wanted;
    return E_OK;
}

/* The checksum of a block goes on where the piece before left it. */
static void table_add(Blob *blob, Str piece)
{
    size_t in_block = (size_t)(blob->size_bytes % STORE_BLOCK_BYTES);
    while (piece.len > 0) {
        Str part = str_sub(piece, 0, STORE_BLOCK_BYTES - in_block);
        if (in_block == 0)
            vec_push(&blob->table, 0);
        uint32_t *crc = &blob->table.items[blob->table.len - 1];
        *crc = crc32c(*crc, part);
        piece = str_from(piece, part.len);
        in_block = 0;
    }
}

/* At most PIECE_BYTES. */
static Code piece_write(Blob *blob, Str piece, Err *err)
{
    table_add(blob, piece);
    TRY(allocate_ahead(blob, blob->size_bytes + piece.len, err));
    for (size_t at = 0; at < piece.len; at += PAGES_BYTES)
        TRY(os_file_pwrite(blob->file, str_sub(piece, at, PAGES_BYTES), blob->size_bytes + at, err));
    blob->size_bytes += piece.len;
    return E_OK;
}

static Code drives_blob_write(Blob *blob, Str bytes, Err *err)
{
    while (bytes.len > 0) {
        if (blob->piece.len == 0 && bytes.len >= GATHER_BYTES) {
            size_t whole = MIN(bytes.len, (size_t)PIECE_BYTES) / PAGE_BYTES * PAGE_BYTES;
            TRY(piece_write(blob, str_sub(bytes, 0, whole), err));
            bytes = str_from(bytes, whole);
            continue;
        }
        Str part = str_sub(bytes, 0, GATHER_BYTES - blob->piece.len);
        buf_put(&blob->piece, part);
        bytes = str_from(bytes, part.len);
        if (blob->piece.len == GATHER_BYTES) {
            TRY(piece_write(blob, buf_str(&blob->piece), err));
            buf_clear(&blob->piece);
        }
    }
    return E_OK;
}

/* blob_format.h has the layout. */
static void footer_encode(const Blob *blob, uint32_t table_crc, char bytes[FOOTER_BYTES])
{
    memset(bytes, 0, FOOTER_BYTES);
    memcpy(bytes, BLOB_MAGIC, 8);
    store_u32le(bytes + 8, BLOB_VERSION);
    store_u32le(bytes + 16, STORE_BLOCK_BYTES);
    store_u32le(bytes + 20, (uint32_t)blob->table.len);
    store_u64le(bytes + 24, blob->size_bytes);
    memcpy(bytes + 32, blob->id.bytes, sizeof blob->id.bytes);
    store_u32le(bytes + 48, table_crc);
    store_u32le(bytes + FOOTER_BYTES - 4, crc32c(0, str_of(bytes, FOOTER_BYTES - 4)));
}

static Str table_bytes(const Blob *blob) /* little endian machines only: x86-64 and arm64 */
{
    return str_of(blob->table.items, blob->table.len * sizeof(uint32_t));
}

static Code drives_blob_finish(Blob *blob, Err *err)
{
    TRY(piece_write(blob, buf_str(&blob->piece), err));
    buf_done(&blob->piece);
    char footer[FOOTER_BYTES];
    Str table = table_bytes(blob);
    footer_encode(blob, crc32c(0, table), footer);
    uint64_t end = blob->size_bytes + table.len + FOOTER_BYTES;
    TRY(allocate_ahead(blob, end, err));
    TRY(os_file_pwrite(blob->file, table, blob->size_bytes, err));
    TRY(os_file_pwrite(blob->file, str_of(footer, sizeof footer), end - FOOTER_BYTES, err));
    if (blob->allocated > end)
        TRY(os_file_truncate(blob->file, end, err));
    CRASH_POINT_AT("blob_written");
    TRY(journal_sync_judge(blob->backend->journal, os_file_sync(blob->file, err), err));
    CRASH_POINT_AT("blob_synced");
    blob->reading = true;
    return E_OK;
}

static Code drives_blob_names_sync(Backend *backend, const BlobId *ids, size_t count, Err *err)
{
    bool synced[FAN_OUT] = { false };
    for (size_t i = 0; i < count; i++) {
        unsigned number = ids[i].bytes[0];
        if (synced[number])
            continue;
        char path[OS_PATH_MAX];
        TRY(directory_path(backend, number, path, err));
        TRY(journal_sync_judge(backend->journal, os_dir_sync(backend->os, path, err), err));
        synced[number] = true;
    }
    if (count > 0)
        CRASH_POINT_AT("blob_named");
    return E_OK;
}

static Code damaged(const char *path, uint64_t at, const char *what, Err *err)
{
    return err_place(err, err_set(err, E_CORRUPT, "%s of a stored object is damaged", what), "%s:%llu",
                     path, (unsigned long long)at);
}

static Code table_load(Blob *blob, const char *path, Err *err)
{
    char footer[FOOTER_BYTES];
    uint64_t blocks = (blob->size_bytes + STORE_BLOCK_BYTES - 1) / STORE_BLOCK_BYTES;
    uint64_t wanted = blob->size_bytes + blocks * sizeof(uint32_t) + FOOTER_BYTES, size;
    TRY(os_file_size(blob->file, &size, err));
    if (size != wanted)
        return damaged(path, MIN(size, wanted), "the length", err);
    size_t got;
    TRY(os_file_pread(blob->file, footer, FOOTER_BYTES, size - FOOTER_BYTES, &got, err));
    if (got != FOOTER_BYTES || memcmp(footer, BLOB_MAGIC, 8) != 0 ||
        load_u32le(footer + FOOTER_BYTES - 4) != crc32c(0, str_of(footer, FOOTER_BYTES - 4)))
        return damaged(path, size - FOOTER_BYTES, "the footer", err);
    if (load_u32le(footer + 8) > BLOB_VERSION || load_u32le(footer + 12) != 0)
        return err_set(err, E_UNSUPPORTED, "written by a newer version of tarn: %s", path);
    if (load_u32le(footer + 16) != STORE_BLOCK_BYTES || load_u32le(footer + 20) != blocks ||
        load_u64le(footer + 24) != blob->size_bytes ||
        memcmp(footer + 32, blob->id.bytes, sizeof blob->id.bytes) != 0)
        return damaged(path, size - FOOTER_BYTES, "the footer", err);
    vec_reserve(&blob->table, blocks);
    blob->table.len = blocks;
    TRY(os_file_pread(blob->file, blob->table.items, blocks * sizeof(uint32_t), blob->size_bytes,
                      &got, err));
    if (got != blocks * sizeof(uint32_t) || crc32c(0, table_bytes(blob)) != load_u32le(footer + 48))
        return damaged(path, blob->size_bytes, "the table of checksums", err);
    return E_OK;
}

static Code drives_blob_open(Backend *backend, const BlobId *id, uint64_t size_bytes,
                             Blob **ret_blob, Err *err)
{
    Blob *blob AUTO(blob_auto) = mem_new(sizeof *blob);
    char path[OS_PATH_MAX];
    *blob = (Blob){ .backend = backend, .id = *id, .size_bytes = size_bytes, .reading = true };
    TRY(blob_path(backend, id, path, err));
    TRY(os_file_open(backend->os, path, OS_READ, &blob->file, err));
    TRY(table_load(blob, path, err));
    *ret_blob = TAKE(blob);
    return E_OK;
}

/* Whole blocks from `first` on into `bytes`, each compared. */
static Code blocks_read(Blob *blob, char *bytes, size_t len, uint64_t first, Err *err)
{
    size_t got;
    TRY(os_file_pread(blob->file, bytes, len, first * STORE_BLOCK_BYTES, &got, err));
    for (size_t at = 0; at < len; at += STORE_BLOCK_BYTES, first++) {
        Str block = str_sub(str_of(bytes, len), at, STORE_BLOCK_BYTES);
        if (got != len || crc32c(0, block) != blob->table.items[first]) {
            char path[OS_PATH_MAX];
            TRY(blob_path(blob->backend, &blob->id, path, err));
            return damaged(path, first * STORE_BLOCK_BYTES, "a block", err);
        }
    }
    return E_OK;
}

static Code drives_blob_pread(Blob *blob, void *bytes, size_t len, uint64_t at, Err *err)
{
    ASSERT(blob->reading && at + len <= blob->size_bytes);
    char *to = bytes;
    while (len > 0) {
        uint64_t first = at / STORE_BLOCK_BYTES;
        size_t skip = (size_t)(at % STORE_BLOCK_BYTES);
        bool to_end = at + len == blob->size_bytes;
        size_t whole = to_end ? len : len / STORE_BLOCK_BYTES * STORE_BLOCK_BYTES;
        whole = MIN(whole, (size_t)PIECE_BYTES); /* compared while it is in the cache */
        if (skip == 0 && whole > 0) {
            TRY(blocks_read(blob, to, whole, first, err));
            to += whole, at += whole, len -= whole;
            continue;
        }
        char block[STORE_BLOCK_BYTES];
        uint64_t left = blob->size_bytes - first * STORE_BLOCK_BYTES;
        size_t block_len = (size_t)MIN(left, (uint64_t)STORE_BLOCK_BYTES);
        TRY(blocks_read(blob, block, block_len, first, err));
        size_t part = MIN(len, block_len - skip);
        memcpy(to, block + skip, part);
        to += part, at += part, len -= part;
    }
    return E_OK;
}

/* The blocks that hold [at, at + len): each is copied to `room`, which the cache of the processor keeps, and
 * compared there; then the same pages of the page cache may be sent. Mapped they would cost a copy less
 * and a SIGBUS where somebody cuts the file off. */
static size_t drives_blob_in_file(Blob *blob, uint64_t at, size_t len, char *room, size_t room_len, int *ret_fd)
{
    ASSERT(blob->reading && at + len <= blob->size_bytes && room_len >= STORE_BLOCK_BYTES);
    uint64_t first = at / STORE_BLOCK_BYTES, to = first * STORE_BLOCK_BYTES, end = at + len;
    uint64_t whole = end / STORE_BLOCK_BYTES * STORE_BLOCK_BYTES;
    bool good = (*ret_fd = os_file_fd(blob->file)) >= 0;
    if (end < blob->size_bytes && whole > at)
        end = whole; /* no block is compared for a piece of it, and again for the rest */
    while (good && to < end) {
        uint64_t left = MIN(end + STORE_BLOCK_BYTES - 1, blob->size_bytes) - to;
        size_t most = left > room_len ? room_len : (size_t)left;
        most = to + most == blob->size_bytes ? most : most / STORE_BLOCK_BYTES * STORE_BLOCK_BYTES;
        size_t got = os_file_peek(blob->file, room, most, to);
        for (size_t k = 0; good && k < most; k += STORE_BLOCK_BYTES) {
            Str block = str_sub(str_of(room, most), k, STORE_BLOCK_BYTES);
            good = k + block.len <= got && crc32c(0, block) == blob->table.items[first];
            first += good;
            to += good ? block.len : 0;
        }
    }
    return to > at ? (size_t)(MIN(to, end) - at) : 0;
}

static void drives_blob_cool(Backend *backend, const BlobId *id)
{
    OsFile *file AUTO(os_file_close) = NULL;
    char path[OS_PATH_MAX];
    if (blob_path(backend, id, path, NULL) == E_OK && os_file_open(backend->os, path, OS_READ, &file, NULL) == E_OK)
        os_file_cool(file);
}

static Code drives_blob_remove(Backend *backend, const BlobId *id, Err *err)
{
    char path[OS_PATH_MAX];
    TRY(blob_path(backend, id, path, err));
    atomic_store(&backend->unlinked[id->bytes[0]], true);
    return os_unlink(backend->os, path, err);
}

static Code drives_blob_list(Backend *backend, BlobVisit *visit, void *arg, Err *err)
{
    for (unsigned i = 0; i < FAN_OUT; i++) {
        Arena tmp AUTO(arena_done) = { 0 };
        char path[OS_PATH_MAX];
        OsDirEntry *entries;
        size_t count;
        TRY(directory_path(backend, i, path, err));
        TRY(os_dir_list(backend->os, path, &tmp, &entries, &count, err));
        for (size_t k = 0; k < count; k++) {
            BlobId id;
            Str bytes;
            if (entries[k].name.len != 2 * sizeof id.bytes ||
                !hex_parse(&tmp, entries[k].name, &bytes))
                continue; /* not ours: left alone */
            memcpy(id.bytes, bytes.ptr, sizeof id.bytes);
            TRY(visit(arg, &id, err));
        }
    }
    return E_OK;
}

const BackendOps backend_drives = {
    .name = "drives",
    .durable = true,
    .open = drives_open,
    .close = drives_close,
    .append = drives_append,
    .body_read = drives_body_read,
    .blob_create = drives_blob_create,
    .blob_write = drives_blob_write,
    .blob_finish = drives_blob_finish,
    .blob_names_sync = drives_blob_names_sync,
    .blob_open = drives_blob_open,
    .blob_pread = drives_blob_pread,
    .blob_in_file = drives_blob_in_file,
    .blob_cool = drives_blob_cool,
    .blob_close = drives_blob_close,
    .blob_remove = drives_blob_remove,
    .blob_list = drives_blob_list,
    .journal = drives_journal,
};
