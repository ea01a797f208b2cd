/* remake.c: the index is opened, or moved aside and made again from the journal.
 *
 * Invariants
 * 1. An index is only a shortcut: what is damaged, incomplete or of the version before is made again by the start
 *    itself, never repaired. What cannot be read now (permissions, a drive that fails, another process) ends the start.
 * 2. Damage that a read finds later is written down at once (`index.bad`): the next start does not meet it again.
 * 3. What was damaged is kept beside as `index.old`, that of the last time only, with a file REASON in it; it goes
 *    when space is short. */
#include "base/text.h"
#include "store/store_priv.h"

#include <stdio.h>
#include <string.h>

enum { REASON_MAX = 4096 };

/* DIR/NAME, or DIR/NAME/INNER. */
static Code path_set(char path[OS_PATH_MAX], const char *dir, const char *name, const char *inner, Err *err)
{
    int len = snprintf(path, OS_PATH_MAX, "%s/%s%s%s", dir ? dir : "", name, inner ? "/" : "", inner ? inner : "");
    return len < OS_PATH_MAX ? E_OK : err_set(err, E_LIMIT, "the path of the store is too long");
}

void index_damaged(Store *store, const Err *err)
{
    char path[OS_PATH_MAX];
    if (!store->index_ops->persistent || !store->dir || atomic_exchange(&store->index_bad, true) ||
        path_set(path, store->dir, "index.bad", NULL, NULL) != E_OK)
        return;
    const char *text = err ? err->text : "a read of the index";
    IGNORE(os_write_whole(store->os, path, str_z(text), NULL)); /* else it is met again */
}

bool store_index_bad(Store *store)
{
    return atomic_load(&store->index_bad);
}

static Code dir_clear(Os *os, const char *dir, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count;
    Code code = os_dir_list(os, dir, &tmp, &entries, &count, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    if (code != E_OK)
        return code;
    for (size_t i = 0; i < count; i++) {
        const char *path = str_copy_z(&tmp, str_format(&tmp, "%s/" STR_FMT, dir, STR_ARG(entries[i].name)));
        TRY(os_unlink(os, path, err));
    }
    return os_dir_remove(os, dir, err);
}

void index_old_remove(Store *store)
{
    char path[OS_PATH_MAX];
    if (store->dir && path_set(path, store->dir, "index.old", NULL, NULL) == E_OK)
        IGNORE(dir_clear(store->os, path, NULL)); /* it is only kept for whoever wants to look at it */
}

/* Beside the index, for as long as they are compared. */
Code index_shadow_path(const Store *store, char path[OS_PATH_MAX], Err *err)
{
    return path_set(path, store->dir, "index.shadow", NULL, err);
}

void index_shadow_remove(Store *store)
{
    char path[OS_PATH_MAX];
    if (store->dir && index_shadow_path(store, path, NULL) == E_OK)
        IGNORE(dir_clear(store->os, path, NULL)); /* the next start tries again */
}

/* index/ becomes index.old/; the one of before goes. */
static Code move_aside(Store *store, Err *err)
{
    char from[OS_PATH_MAX], to[OS_PATH_MAX], reason[OS_PATH_MAX];
    Os *os = store->os;
    OsStat stat;
    TRY(path_set(from, store->dir, "index", NULL, err));
    TRY(path_set(to, store->dir, "index.old", NULL, err));
    TRY(path_set(reason, store->dir, "index.old", "REASON", err));
    if (os_stat(os, from, &stat, NULL) != E_OK)
        return E_OK; /* an earlier start was cut off behind the rename */
    TRY(dir_clear(os, to, err));
    TRY(os_rename(os, from, to, err));
    Arena tmp AUTO(arena_done) = { 0 };
    Str time = time_format(&tmp, store->remade.time_us);
    Str text = str_format(&tmp, STR_FMT " %s\n", STR_ARG(time), store->remade.reason);
    IGNORE(os_write_whole(os, reason, text, NULL)); /* the log says it too */
    return os_dir_sync(os, store->dir, err);
}

/* Whether the journal may have the last word: what is there is no index that this tarn can use. */
static bool is_of_no_use(Store *store, Code code)
{
    return store->index_ops->persistent && store->dir && code == E_CORRUPT;
}

static void reason_set(Store *store, const char *text)
{
    StoreRemade *remade = &store->remade;
    remade->remade = true;
    remade->time_us = os_now_us(store->os);
    snprintf(remade->reason, sizeof remade->reason, "%s", text);
}

/* What a run before found, or nothing. */
static void bad_read(Store *store)
{
    char path[OS_PATH_MAX];
    Arena tmp AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done) = { 0 };
    buf_init(&text, REASON_MAX);
    if (!store->index_ops->persistent || !store->dir || path_set(path, store->dir, "index.bad", NULL, NULL) != E_OK)
        return;
    Code code = os_read_whole(store->os, path, &text, NULL);
    if (code != E_NOT_FOUND)
        reason_set(store, code == E_OK && text.len ? str_copy_z(&tmp, buf_str(&text)) : "a read found damage");
}

static void bad_forget(Store *store)
{
    char path[OS_PATH_MAX];
    atomic_store(&store->index_bad, false);
    if (store->remade.remade && store->dir && path_set(path, store->dir, "index.bad", NULL, NULL) == E_OK)
        IGNORE(os_unlink(store->os, path, NULL)); /* then the next start makes it again, for nothing */
}

/* `*ret_older`: nothing was taken over. */
static Code state_load(Store *store, bool *ret_older, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, STR("s"), err));
    if (!cursor.there || !str_eq(cursor_key(&cursor), STR("s")))
        return E_OK;
    Reader r = reader_of(cursor_value(&cursor));
    uint32_t version = read_u32le(&r);
    if (version > INDEX_VERSION)
        return err_set(err, E_UNSUPPORTED, "the index was written by a newer version of tarn");
    *ret_older = version < INDEX_VERSION;
    if (*ret_older)
        return E_OK;
    store->applied_lsn = read_u64le(&r);
    store->next_sequence = read_u64le(&r);
    store->usage.objects = read_u64le(&r);
    store->usage.object_bytes = read_u64le(&r);
    store->usage.trash_objects = read_u64le(&r);
    store->usage.trash_bytes = read_u64le(&r);
    return reader_end(&r, "the state of the index", err);
}

static void state_forget(Store *store)
{
    store->applied_lsn = 0;
    store->next_sequence = 1;
    store->usage = (StoreUsage){ 0 };
    store->live.len = 0;
    store->feed.held = false;
    store->feed.trimmed = store->feed.trimming = store->feed.floor = 0;
}

/* `*ret_older`: it was written by the version before. */
static Code index_try(Store *store, const char *path, uint64_t cache_bytes, bool *ret_older, Err *err)
{
    bool fresh = !store->backend_ops->durable;
    *ret_older = false;
    TRY(store->index_ops->open(store->os, path, cache_bytes, fresh, &store->index, err));
    return state_load(store, ret_older, err);
}

Code index_open(Store *store, const StoreOptions *options, Err *err)
{
    char path[OS_PATH_MAX];
    bool older = false;
    Err why;
    err_clear(&why);
    TRY(path_set(path, options->dir, "index", NULL, err));
    index_shadow_remove(store);
    bad_read(store);
    Code code = E_OK;
    if (!store->remade.remade)
        code = index_try(store, path, options->index_cache_bytes, &older, &why);
    if (code != E_OK && !is_of_no_use(store, code)) {
        if (err)
            *err = why;
        return code;
    }
    if (code == E_OK && !older && !store->remade.remade)
        return E_OK;
    if (store->index)
        store->index_ops->close(TAKE(store->index));
    if (older)
        reason_set(store, "it was written by an earlier version of tarn");
    else if (!store->remade.remade)
        reason_set(store, why.text);
    if (!older)
        TRY(move_aside(store, err));
    state_forget(store);
    TRY(store->index_ops->open(store->os, path, options->index_cache_bytes, true, &store->index, err));
    bad_forget(store);
    return E_OK;
}

/* An index from before a compaction (a copy that was put back) knows objects whose deletes are forgotten. */
Code index_renew(Store *store, const StoreOptions *options, Err *err)
{
    char path[OS_PATH_MAX];
    TRY(path_set(path, options->dir, "index", NULL, err));
    store->index_ops->close(TAKE(store->index));
    reason_set(store, "it is older than the journal: compaction has left it behind");
    state_forget(store);
    return store->index_ops->open(store->os, path, options->index_cache_bytes, true, &store->index, err);
}

void store_index_remade(Store *store, StoreRemade *ret_remade)
{
    *ret_remade = store->remade;
}
