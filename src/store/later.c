/* later.c: publishing without a thread that waits: the store's own one leads, and says when it is over.
 *
 * Invariants
 * 1. `done` of a publication runs exactly once, also when the store could not write.
 * 2. What was published later is in the same groups as what others wait for: one queue, one order. */
#include "store/store_priv.h"

#include "format/sha256_many.h"

#include <string.h>

typedef struct Later {
    Request request; /* first */
    CommitOp op;
    Store *store;
    StorePublication *publication;
} Later;

static void *committer(void *arg)
{
    Store *store = arg;
    MUTEX_HELD(&store->mutex);
    for (;;) {
        if (store->queue_first && !store->leading)
            store_lead(store);
        else if (store->ending && !store->queue_first)
            return NULL;
        else
            cond_wait(&store->asked, &store->mutex);
    }
}

Code committer_start(Store *store, Err *err)
{
    return os_has_threads(store->os) ? thread_start(&store->committer, "commit", committer, store, err) : E_OK;
}

void committer_stop(Store *store)
{
    {
        MUTEX_HELD(&store->mutex);
        store->ending = true;
        cond_signal(&store->asked);
    }
    thread_join(&store->committer);
}

static void publication_over(Request *request)
{
    Later *later = (Later *)request;
    StorePublication *publication = later->publication;
    publication->code = request->code;
    publication->sequence = later->op.record.info.sequence;
    memcpy(publication->md5, later->op.record.info.md5, sizeof publication->md5);
    memcpy(publication->sha256, later->op.record.info.sha256, sizeof publication->sha256);
    publication->sha256_differs = request->code == E_INVALID && later->op.sha256_wanted && sha256_differs(&later->op);
    staged_after_commit(&publication->put.take_staged, request->code);
    publication->done(publication); /* the arena may go with it */
}

bool store_publish_later_hashes(void)
{
    return sha256_many_pays();
}

Code store_publish_later(Store *store, StorePublication *publication, Arena *arena, Err *err)
{
    Later *later = arena_new(arena, Later);
    TRY(op_of_staged(store, &publication->put, &later->op, err));
    if (later->op.record.place == PLACE_BLOB)
        return err_set(err, E_UNSUPPORTED, "the names of a large object are synced by who publishes it");
    later->op.md5_wanted = publication->md5_wanted;
    later->op.sha256_wanted = publication->sha256_wanted;
    later->store = store;
    later->publication = publication;
    later->request = (Request){ .ops = &later->op, .count = 1, .err = &publication->err, .over = publication_over };
    store_commit_later(store, &later->request);
    return E_OK;
}
