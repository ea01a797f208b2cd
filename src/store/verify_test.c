/* Covers verify.c: a bit flipped anywhere in what the store keeps is a finding with its file and what to do: bodies in
 * the journal and its records, large files, parts, old versions, the files of the index. And the bound of its rate. */
#include "base/test.h"
#include "store/store_conformance.h"
#include "store/store_keep.h"
#include "store/upload.h"

#include <stdio.h>
#include <string.h>

#define BUCKET STR("scrub")
enum { LARGE_LEN = 150000, PART_LEN = 5000, SMALL_LEN = 900, STEPS_A_FILE = 60 };

#if defined(__SANITIZE_THREAD__)
static const char index_name[] = "memory";
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
static const char index_name[] = "memory"; /* RocksDB is not instrumented */
#else
static const char index_name[] = "rocksdb";
#endif
#else
static const char index_name[] = "rocksdb";
#endif

static Code scrub_open(Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = index_name, .dir = dir, .segment_bytes = 256 * 1024 };
    return store_open(os_real(), &options, store, err);
}

static StoreUploadId upload_make(Store *store, Str key, StorePart *part)
{
    static char bytes[PART_LEN];
    Err err;
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    StoreUpload upload = { .bucket = BUCKET, .key = key };
    StoreUploadId id = { 0 };
    pattern_fill(bytes, PART_LEN, 5, 0);
    *part = (StorePart){ .number = 1, .md5 = { 1 } };
    CHECK_OK(store_upload_create(store, &upload, &id, &err), &err);
    CHECK_OK(store_stage_part(store, &staged, &err), &err);
    CHECK_OK(store_stage_write(staged, str_of(bytes, PART_LEN), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_OK(store_upload_part(store, BUCKET, key, &id, part, &staged, &err), &err);
    return id;
}

static void fill(Store *store)
{
    Err err;
    StorePart part;
    uint64_t sequence;
    Arena arena AUTO(arena_done) = { 0 };
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    for (uint64_t i = 0; i < 4; i++) /* two versions each */
        CHECK_OK(pattern_put(store, BUCKET, str_format(&arena, "small-%d", (int)i / 2), SMALL_LEN, i, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("large"), LARGE_LEN, 1, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("large"), LARGE_LEN, 2, &err), &err);
    StoreUploadId id = upload_make(store, STR("whole"), &part);
    StoreComplete complete = { .bucket = BUCKET, .key = STR("whole"), .id = id, .parts = &part, .part_count = 1 };
    CHECK_OK(store_upload_complete(store, &complete, &sequence, &err), &err);
    upload_make(store, STR("open"), &part);
}

typedef struct Found {
    size_t count;
    bool named;     /* the file is in a finding */
    bool complete;  /* each has text and advice */
    const char *file;
} Found;

static void found_visit(void *arg, const StoreFinding *finding)
{
    Found *found = arg;
    found->count++;
    found->named = found->named || strstr(finding->file, found->file) || strstr(finding->text, found->file);
    found->complete = found->complete && finding->text[0] && finding->advice &&
                      (finding->code == E_CORRUPT || strstr(finding->advice, "index/"));
}

static Found look(Store *store, const char *file)
{
    Err err;
    Found found = { .complete = true, .file = file };
    StoreVerified verified;
    CHECK_OK(store_verify(store, true, found_visit, &found, &verified, &err), &err);
    CHECK_INT(found.count, verified.findings);
    return found;
}

static void flip(const char *path, uint64_t at)
{
    Err err;
    OsFile *file AUTO(os_file_close) = NULL;
    char byte;
    size_t got;
    CHECK_OK(os_file_open(os_real(), path, OS_READ | OS_WRITE, &file, &err), &err);
    CHECK_OK(os_file_pread(file, &byte, 1, at, &got, &err), &err);
    byte = (char)(byte ^ (1 << (at % 8)));
    CHECK_OK(os_file_pwrite(file, str_of(&byte, 1), at, &err), &err);
}

static size_t index_tries, index_unused;

/* Flips bits all over the file, one at a time; each is found, and gone when it is flipped back. */
static void file_try(Store *store, const char *dir, Str name, uint64_t end)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    OsStat stat;
    const char *path = str_format(&arena, "%s/" STR_FMT "%c", dir, STR_ARG(name), 0).ptr;
    CHECK_OK(os_stat(os_real(), path, &stat, &err), &err);
    end = end ? end : stat.size_bytes;
    uint64_t stride = MAX(end / STEPS_A_FILE, (uint64_t)1);
    for (uint64_t at = 0; at < end; at += stride) {
        flip(path, at);
        Found found = look(store, str_copy_z(&arena, name));
        flip(path, at);
        bool index_file = strstr(path, "/index/") != NULL;
        index_tries += index_file;
        if (index_file && found.count == 0) {
            index_unused++; /* a byte that RocksDB does not use: see the end of the test */
            continue;
        }
        if (found.count == 0 || !found.complete || !(found.named || index_file))
            test_failed(__FILE__, __LINE__, "%s, byte %llu: %zu findings%s%s", path, (unsigned long long)at, found.count,
                        found.named ? "" : ", the file is not named", found.complete ? "" : ", no advice");
    }
}

static void dir_try(Store *store, const char *below, const char *suffix, uint64_t end, size_t *files)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count = 0;
    const char *dir = str_format(&arena, "%s/store/%s%c", test_dir(), below, 0).ptr;
    CHECK_OK(os_dir_list(os_real(), dir, &arena, &entries, &count, &err), &err);
    for (size_t i = 0; i < count; i++)
        if (!entries[i].is_dir && str_find(entries[i].name, str_z(suffix)) >= 0) {
            file_try(store, dir, entries[i].name, end);
            ++*files;
        }
}

TEST(verify_finds_flipped_bits_everywhere)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t files = 0;
    CHECK_OK(scrub_open(&store, &err), &err);
    fill(store);
    StoreUsage usage = { 0 };
    store_free(&store); /* the index is on the drive now */
    CHECK_OK(scrub_open(&store, &err), &err);
    CHECK_OK(store_usage(store, &usage, &err), &err);
    CHECK_INT(look(store, "").count, 0);
    dir_try(store, "journal", ".seg", 4096 + 4 * SMALL_LEN + 2000, &files);
    CHECK_INT(files, 1);
    files = 0;
    for (int i = 0; i < 256; i++)
        dir_try(store, str_format(&arena, "objects/%02x%c", i, 0).ptr, "", 0, &files);
    CHECK_INT(files, 4);
    files = 0;
    if (str_eq(str_z(index_name), STR("memory")))
        return;
    dir_try(store, "index", ".sst", 0, &files);
    dir_try(store, "index", "CURRENT", 0, &files);
    dir_try(store, "index", "MANIFEST", 0, &files);
    CHECK(files >= 3);
    /* Padding of a footer; the last record of the MANIFEST, without which the index is an older one and the journal is
     * replayed from there. store_never_answers_wrongly_from_a_damaged_index looks at what such an index says. */
    CHECK(index_unused * 20 <= index_tries);
    CHECK_INT(look(store, "").count, 0);
}

/* Two damages in one segment: both are found, and each object that is hurt is named. */
TEST(verify_goes_on_behind_a_damage)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(scrub_open(&store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (uint64_t i = 0; i < 6; i++)
        CHECK_OK(pattern_put(store, BUCKET, str_format(&arena, "k%d", (int)i), SMALL_LEN, i, &err), &err);
    const char *path = str_format(&arena, "%s/store/journal/0000000000000001.seg%c", test_dir(), 0).ptr;
    uint64_t first = 4096 + 600, second = first + 3 * (SMALL_LEN + 250);
    flip(path, first);
    flip(path, second);
    CHECK_INT(look(store, "0000000000000001.seg").count, 2);
    flip(path, first);
    flip(path, second);
    CHECK_INT(look(store, "").count, 0);
}

TEST(verify_keeps_to_its_rate_and_stops)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    bool stop = true;
    StoreVerified verified = { 0 };
    CHECK_OK(scrub_open(&store, &err), &err);
    fill(store);
    int64_t before = os_monotonic_us(os_real());
    CHECK_OK(store_scrub(store, &(StoreScrub){ true, 1000000, NULL }, NULL, NULL, &verified, &err), &err);
    CHECK(os_monotonic_us(os_real()) - before >= (int64_t)verified.bytes * 9 / 10); /* a byte a microsecond */
    CHECK_INT(verified.bytes, 4 * SMALL_LEN + 2 * LARGE_LEN + 2 * PART_LEN);
    CHECK_OK(store_scrub(store, &(StoreScrub){ true, 1, &stop }, NULL, NULL, &verified, &err), &err);
    CHECK_INT(verified.objects, 0);
}
