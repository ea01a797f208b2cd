/* Covers hold.c: what stays while a hold stands, when it ends, what a copy at the point holds, and what the check of
 * a copied body finds. */
#include "base/test.h"
#include "os/os_sim.h"
#include "store/blob_format.h"
#include "store/store_conformance.h"
#include "store/store_keep.h"

#include <stdio.h>
#include <string.h>

#define BUCKET STR("bronze")
enum { LARGE_LEN = 300000 };

static const char large[LARGE_LEN];

static Code hold_open(OsSim *sim, Store **store, Err *err)
{
    StoreOptions options = { .index = "memory", .dir = "/s", .segment_bytes = 64 * 1024, .trash_seconds = -1 };
    TRY(store_open(os_sim_os(sim), &options, store, err));
    bool there;
    TRY(store_bucket_exists(*store, BUCKET, &there, err));
    return there ? E_OK : store_bucket_create(*store, BUCKET, err);
}

static Code put_large(Store *store, Str key, Err *err)
{
    StorePut put = { .bucket = BUCKET, .key = key };
    return store_put(store, &put, str_of(large, LARGE_LEN), NULL, err);
}

static uint64_t purged(Store *store)
{
    Err err;
    StorePurged purged = { 0 };
    CHECK_OK(store_trash_purge(store, NULL, &purged, &err), &err);
    return purged.objects;
}

static size_t compacted(Store *store)
{
    Err err;
    size_t segments = 0;
    CHECK_OK(store_compact(store, NULL, &segments, &err), &err);
    return segments;
}

TEST(store_hold_keeps_everything_and_ends)
{
    Err err;
    OsSim *sim = os_sim_new(3);
    Store *store = NULL;
    uint64_t id = 0, second = 0;
    CHECK_OK(hold_open(sim, &store, &err), &err);
    CHECK_OK(put_large(store, STR("a"), &err), &err);
    for (int i = 0; i < 40; i++) /* one key again and again: the segments in front are dead */
        CHECK_OK(store_put(store, &(StorePut){ .bucket = BUCKET, .key = STR("small") }, str_of(large, 9000), NULL,
                           &err), &err);
    CHECK_OK(store_hold_begin(store, 60, &id, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("a"), &err), &err);
    CHECK_INT(purged(store), 0);
    CHECK_INT(compacted(store), 0);
    CHECK_OK(store_hold_begin(store, 60, &second, &err), &err);
    CHECK_OK(store_hold_end(store, id, &err), &err);
    CHECK_CODE(store_hold_end(store, id, &err), E_NOT_FOUND);
    CHECK_INT(purged(store), 0); /* the second one stands */
    os_sim_advance_us(sim, (int64_t)50 * 1000000);
    CHECK_OK(store_hold_renew(store, second, 60, &err), &err);
    os_sim_advance_us(sim, (int64_t)50 * 1000000);
    CHECK_INT(purged(store), 0);
    os_sim_advance_us(sim, (int64_t)11 * 1000000);
    CHECK_INT(purged(store), 1);
    CHECK(compacted(store) > 0);
    CHECK_CODE(store_hold_renew(store, second, 60, &err), E_NOT_FOUND); /* its time was over */
    for (int i = 0; i < STORE_HOLDS_MAX; i++)
        CHECK_OK(store_hold_begin(store, 60, &id, &err), &err);
    CHECK_CODE(store_hold_begin(store, 60, &id, &err), E_LIMIT);
    store_free(&store);
    os_sim_free(&sim);
}

TEST(store_point_is_behind_what_was_acknowledged)
{
    Err err;
    OsSim *sim = os_sim_new(4);
    Store *store = NULL;
    StorePoint before, after;
    uint64_t sequence = 0;
    CHECK_OK(hold_open(sim, &store, &err), &err);
    CHECK_OK(store_point(store, &before, &err), &err);
    CHECK_OK(store_put(store, &(StorePut){ .bucket = BUCKET, .key = STR("k") }, STR("v"), &sequence, &err), &err);
    CHECK_OK(store_point(store, &after, &err), &err);
    CHECK_INT(after.sequence, sequence);
    CHECK(after.end > before.end && after.begin == before.begin && after.segment_bytes == 64 * 1024);
    store_free(&store);
    StoreOptions options = { .backend = "memory", .index = "memory" };
    CHECK_OK(store_open(os_sim_os(sim), &options, &store, &err), &err);
    CHECK_CODE(store_point(store, &after, &err), E_UNSUPPORTED);
    store_free(&store);
    os_sim_free(&sim);
}

/* The one file under objects/. */
static Str file_find(OsSim *sim, Arena *arena, const char **ret_path)
{
    for (unsigned i = 0; i < 256; i++) {
        const char *dir = str_copy_z(arena, str_format(arena, "/s/objects/%02x", i));
        OsDirEntry *entries;
        size_t count = 0;
        if (os_dir_list(os_sim_os(sim), dir, arena, &entries, &count, NULL) != E_OK || count == 0)
            continue;
        *ret_path = str_copy_z(arena, str_format(arena, "%s/" STR_FMT, dir, STR_ARG(entries[0].name)));
        return entries[0].name;
    }
    return STR_NONE;
}

static Code byte_flip(OsSim *sim, const char *path, uint64_t at, Err *err)
{
    AUTO(os_file_close) OsFile *file = NULL;
    char c;
    size_t got;
    TRY(os_file_open(os_sim_os(sim), path, OS_READ | OS_WRITE, &file, err));
    TRY(os_file_pread(file, &c, 1, at, &got, err));
    c = (char)(c ^ 1);
    return os_file_pwrite(file, str_of(&c, 1), at, err);
}

TEST(store_file_check_finds_each_damage)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    OsSim *sim = os_sim_new(5);
    Store *store = NULL;
    const char *path = NULL;
    bool whole = false;
    uint32_t crc = 0, again = 0;
    CHECK_OK(hold_open(sim, &store, &err), &err);
    CHECK_OK(put_large(store, STR("a"), &err), &err);
    Str name = file_find(sim, &arena, &path);
    CHECK(name.len == 32);
    CHECK_OK(store_file_check(os_sim_os(sim), path, name, &whole, &crc, &err), &err);
    CHECK(whole);
    uint64_t file_len = LARGE_LEN + (LARGE_LEN / STORE_BLOCK_BYTES + 1) * 4 + FOOTER_BYTES;
    const uint64_t places[] = { 0, 65536, LARGE_LEN - 1, LARGE_LEN, LARGE_LEN + 19 };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        CHECK_OK(byte_flip(sim, path, places[i], &err), &err);
        CHECK_CODE(store_file_check(os_sim_os(sim), path, name, &whole, &again, &err), E_CORRUPT);
        CHECK_OK(byte_flip(sim, path, places[i], &err), &err);
    }
    CHECK_OK(byte_flip(sim, path, file_len - 30, &err), &err);
    CHECK_OK(store_file_check(os_sim_os(sim), path, name, &whole, &again, &err), &err);
    CHECK(!whole);
    CHECK_OK(byte_flip(sim, path, file_len - 30, &err), &err);
    CHECK_OK(store_file_check(os_sim_os(sim), path, name, &whole, &again, &err), &err);
    CHECK(whole && again == crc);
    CHECK_OK(store_file_check(os_sim_os(sim), path, STR("0123"), &whole, &again, &err), &err);
    CHECK(!whole); /* another one's */
    store_free(&store);
    os_sim_free(&sim);
}
