/* backend_memory.c: bodies in memory, for tests and for engines that need no drive.
 *
 * Invariants
 * 1. A body lives while the backend names it or a Blob reads it: `uses` counts both.
 * 2. Bodies stand in a table by number: the number is the LSN of a small body, and the first eight
 *    bytes of the id of a large one. */
#include "store/store_priv.h"

#include <string.h>

enum { MEMORY_BODY_MAX = 1 << 30 };

typedef struct Body {
    Buf bytes;
    unsigned uses; /* guarded by the backend's mutex */
} Body;

struct Backend {
    Mutex mutex;
    Vec(Body *) bodies; /* NULL: removed, or a record without a body */
};

struct Blob {
    Backend *backend;
    Body *body;
};

static Code memory_open(Os *os, const StoreOptions *options, uint64_t replay_from,
                        JournalVisit *visit, void *arg, bool *ret_clean, uint64_t *ret_segment_bytes,
                        Backend **ret_backend, Err *err)
{
    (void)os, (void)options, (void)replay_from, (void)visit, (void)arg, (void)err;
    Backend *backend = mem_new(sizeof *backend);
    mutex_init(&backend->mutex);
    vec_push(&backend->bodies, NULL); /* number 0 is nobody's */
    *ret_clean = true;
    *ret_segment_bytes = 0;
    *ret_backend = backend;
    return E_OK;
}

/* The mutex is held, or the backend is being closed. */
static void body_release(Body **body)
{
    if (*body && --(*body)->uses == 0) {
        buf_done(&(*body)->bytes);
        mem_free(body);
    }
    *body = NULL;
}

static void memory_close(Backend *backend, bool clean)
{
    (void)clean;
    for (size_t i = 0; i < backend->bodies.len; i++)
        body_release(&backend->bodies.items[i]);
    vec_done(&backend->bodies);
    mutex_done(&backend->mutex);
    mem_free(&backend);
}

static Body *body_new(void)
{
    Body *body = mem_new(sizeof *body);
    buf_init(&body->bytes, MEMORY_BODY_MAX);
    body->uses = 1;
    return body;
}

static Code memory_append(Backend *backend, JournalRecord *records, size_t count, Err *err)
{
    (void)err;
    MUTEX_HELD(&backend->mutex);
    for (size_t i = 0; i < count; i++) {
        Body *body = records[i].type == RECORD_BODY ? body_new() : NULL;
        if (body)
            buf_put(&body->bytes, records[i].payload);
        records[i].lsn = backend->bodies.len;
        vec_push(&backend->bodies, body);
    }
    return E_OK;
}

static Body *body_at(Backend *backend, uint64_t number)
{
    return number < backend->bodies.len ? backend->bodies.items[number] : NULL;
}

static Code memory_body_read(Backend *backend, uint64_t lsn, size_t len, bool now, Buf *buf, Err *err)
{
    (void)now;
    MUTEX_HELD(&backend->mutex);
    const Body *body = body_at(backend, lsn);
    if (!body)
        return err_set(err, E_NOT_FOUND, "no body %llu", (unsigned long long)lsn);
    if (body->bytes.len != len)
        return err_set(err, E_CORRUPT, "a stored object has another length");
    buf_clear(buf);
    buf_put(buf, buf_str(&body->bytes));
    return buf_end(buf, "a small body", err);
}

static Code memory_blob_create(Backend *backend, BlobId *ret_id, Blob **ret_blob, Err *err)
{
    (void)err;
    Blob *blob = mem_new(sizeof *blob);
    BlobId id = { { 0 } };
    MUTEX_HELD(&backend->mutex);
    store_u64le(id.bytes, backend->bodies.len);
    blob->backend = backend;
    blob->body = body_new();
    blob->body->uses++;
    vec_push(&backend->bodies, blob->body);
    *ret_id = id;
    *ret_blob = blob;
    return E_OK;
}

static Code memory_blob_write(Blob *blob, Str bytes, Err *err)
{
    buf_put(&blob->body->bytes, bytes);
    return buf_end(&blob->body->bytes, "an object in memory", err);
}

static Code memory_blob_finish(Blob *blob, Err *err)
{
    (void)blob, (void)err;
    return E_OK;
}

static Code memory_blob_names_sync(Backend *backend, const BlobId *ids, size_t count, Err *err)
{
    (void)backend, (void)ids, (void)count, (void)err;
    return E_OK;
}

static Code memory_blob_open(Backend *backend, const BlobId *id, uint64_t size_bytes,
                             Blob **ret_blob, Err *err)
{
    MUTEX_HELD(&backend->mutex);
    Body *body = body_at(backend, load_u64le(id->bytes));
    if (!body || body->bytes.len != size_bytes)
        return err_set(err, E_NOT_FOUND, "no such body");
    Blob *blob = mem_new(sizeof *blob);
    body->uses++;
    *blob = (Blob){ backend, body };
    *ret_blob = blob;
    return E_OK;
}

static Code memory_blob_pread(Blob *blob, void *bytes, size_t len, uint64_t at, Err *err)
{
    (void)err;
    ASSERT(at + len <= blob->body->bytes.len);
    memcpy(bytes, blob->body->bytes.ptr + at, len);
    return E_OK;
}

static void memory_blob_close(Blob *blob)
{
    {
        MUTEX_HELD(&blob->backend->mutex);
        body_release(&blob->body);
    }
    mem_free(&blob);
}

static Code memory_blob_remove(Backend *backend, const BlobId *id, Err *err)
{
    MUTEX_HELD(&backend->mutex);
    uint64_t number = load_u64le(id->bytes);
    if (!body_at(backend, number))
        return err_set(err, E_NOT_FOUND, "no such body");
    body_release(&backend->bodies.items[number]);
    return E_OK;
}

static Code memory_blob_list(Backend *backend, BlobVisit *visit, void *arg, Err *err)
{
    (void)backend, (void)visit, (void)arg, (void)err; /* nothing outlives a start */
    return E_OK;
}

static Journal *memory_journal(Backend *backend)
{
    (void)backend;
    return NULL;
}

const BackendOps backend_memory = {
    .name = "memory",
    .durable = false,
    .open = memory_open,
    .close = memory_close,
    .append = memory_append,
    .body_read = memory_body_read,
    .blob_create = memory_blob_create,
    .blob_write = memory_blob_write,
    .blob_finish = memory_blob_finish,
    .blob_names_sync = memory_blob_names_sync,
    .blob_open = memory_blob_open,
    .blob_pread = memory_blob_pread,
    .blob_close = memory_blob_close,
    .blob_remove = memory_blob_remove,
    .blob_list = memory_blob_list,
    .journal = memory_journal,
};
