/* access_use.c: when an access key signed last, with which service and region.
 *
 * Invariants
 * 1. A request looks its key's minute up without a lock and without writing; only the first of a minute goes on.
 * 2. What is known of a key is never freed before the Govern: who found it may look at it.
 * 3. The database is written by govern_access_flush alone, rows that changed, never back in time. What was not
 *    written when the process was killed is forgotten: some minutes. */
#include "govern/govern_priv.h"

#include <string.h>

static const int64_t MINUTE_US = 60000000;

static AccessUse *use_find(const Govern *govern, Str id)
{
    AccessUse *use = atomic_load_explicit(&govern->uses[str_hash(id) % ACCESS_USE_SLOTS], memory_order_acquire);
    while (use && !str_eq(str_z(use->id), id))
        use = use->next;
    return use;
}

static void text_keep(char *to, size_t size, Str text)
{
    size_t len = MIN(text.len, size - 1);
    if (len)
        memcpy(to, text.ptr, len);
    to[len] = 0;
}

/* The first of its minute. */
static void use_note(Govern *govern, Str id, Str service, Str region, int64_t minute)
{
    MUTEX_HELD(&govern->uses_mutex);
    AccessUse *use = use_find(govern, id);
    if (!use && govern->use_count == ACCESS_USES_MAX)
        return;
    if (!use) {
        use = mem_new(sizeof *use);
        text_keep(use->id, sizeof use->id, id);
        govern->use_count++;
        _Atomic(AccessUse *) *slot = &govern->uses[str_hash(id) % ACCESS_USE_SLOTS];
        use->next = atomic_load_explicit(slot, memory_order_relaxed);
        atomic_store_explicit(slot, use, memory_order_release);
    }
    text_keep(use->service, sizeof use->service, service);
    text_keep(use->region, sizeof use->region, region);
    use->dirty = true;
    atomic_store_explicit(&use->minute, minute, memory_order_relaxed);
}

void govern_access_used(Govern *govern, Str id, Str service, Str region)
{
    int64_t minute = os_now_us(govern->os) / MINUTE_US;
    const AccessUse *use = use_find(govern, id);
    if (use && atomic_load_explicit(&use->minute, memory_order_relaxed) >= minute)
        return;
    if (id.len > 0 && id.len <= ACCESS_ID_MAX)
        use_note(govern, id, service, region, minute);
}

/* ---- what the others see of it ---- */

static void overlay(const AccessUse *use, Arena *arena, MetaAccessKey *key)
{
    int64_t used_us = use ? atomic_load_explicit(&use->minute, memory_order_relaxed) * MINUTE_US : 0;
    if (used_us <= key->used_us)
        return;
    key->used_us = used_us;
    key->used_service = str_copy(arena, str_z(use->service));
    key->used_region = str_copy(arena, str_z(use->region));
}

void access_use_overlay(Govern *govern, Arena *arena, MetaAccessKey *keys, size_t count)
{
    MUTEX_HELD(&govern->uses_mutex);
    for (size_t i = 0; i < count; i++)
        overlay(use_find(govern, keys[i].id), arena, &keys[i]);
}

static size_t rows_take(Govern *govern, Arena *arena, MetaTxn *txn)
{
    size_t count = 0;
    MUTEX_HELD(&govern->uses_mutex);
    for (size_t i = 0; i < ACCESS_USE_SLOTS; i++)
        for (AccessUse *use = atomic_load_explicit(&govern->uses[i], memory_order_relaxed); use; use = use->next) {
            if (!use->dirty)
                continue;
            meta_use_access_key(txn, str_z(use->id),
                                atomic_load_explicit(&use->minute, memory_order_relaxed) * MINUTE_US,
                                str_copy(arena, str_z(use->service)), str_copy(arena, str_z(use->region)));
            use->dirty = false;
            count++;
        }
    return count;
}

static void rows_again(Govern *govern)
{
    MUTEX_HELD(&govern->uses_mutex);
    for (size_t i = 0; i < ACCESS_USE_SLOTS; i++)
        for (AccessUse *use = atomic_load_explicit(&govern->uses[i], memory_order_relaxed); use; use = use->next)
            use->dirty = true;
}

Code govern_access_flush(Govern *govern, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    if (rows_take(govern, &tmp, &txn) == 0)
        return E_OK;
    Code code = meta_commit(govern->meta, &txn, err);
    if (code != E_OK)
        rows_again(govern);
    return code;
}

void access_use_init(Govern *govern)
{
    mutex_init(&govern->uses_mutex);
}

void access_use_done(Govern *govern)
{
    for (size_t i = 0; i < ACCESS_USE_SLOTS; i++)
        for (AccessUse *use = atomic_load(&govern->uses[i]); use;) {
            AccessUse *next = use->next;
            mem_free(&use);
            use = next;
        }
    mutex_done(&govern->uses_mutex);
}
