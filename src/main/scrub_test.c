#include "main/scrub.h"

#include "base/test.h"
#include "os/os_sim.h"

#include <string.h>

enum { BODY_BYTES = 400000, HOUR_MS = 3600000 };

typedef struct World {
    OsSim *sim;
    Arena arena;
    ApiScrubbed shown;
    ScrubOptions options;
    Err err;
} World;

static void world_open(World *w)
{
    *w = (World){ .sim = os_sim_new(test_seed()) };
    Os *os = os_sim_os(w->sim);
    StoreOptions store = { .index = "memory", .dir = "/d/store" };
    CHECK_OK(os_dir_make(os, "/d", &w->err), &w->err);
    w->options = (ScrubOptions){ .os = os, .data_dir = "/d", .interval_ms = HOUR_MS, .shown = &w->shown };
    CHECK_OK(store_open(os, &store, &w->options.store, &w->err), &w->err);
    CHECK_OK(store_bucket_create(w->options.store, STR("seen"), &w->err), &w->err);
}

static void world_close(World *w)
{
    store_free(&w->options.store);
    os_sim_free(&w->sim);
    arena_done(&w->arena);
}

static void put(World *w, Str key, size_t len)
{
    char *bytes = arena_alloc(&w->arena, len);
    memset(bytes, 'x', len);
    StorePut wanted = { .bucket = STR("seen"), .key = key };
    CHECK_OK(store_put(w->options.store, &wanted, str_of(bytes, len), NULL, &w->err), &w->err);
}

/* Of the only body that has a file. */
static void flip(World *w, uint64_t at)
{
    OsDirEntry *dirs, *files;
    size_t dir_count, file_count, got;
    char byte;
    CHECK_OK(os_dir_list(w->options.os, "/d/store/objects", &w->arena, &dirs, &dir_count, &w->err), &w->err);
    for (size_t i = 0; i < dir_count; i++) {
        const char *dir = str_copy_z(&w->arena, str_format(&w->arena, "/d/store/objects/" STR_FMT,
                                                           STR_ARG(dirs[i].name)));
        CHECK_OK(os_dir_list(w->options.os, dir, &w->arena, &files, &file_count, &w->err), &w->err);
        if (file_count == 0)
            continue;
        OsFile *file AUTO(os_file_close) = NULL;
        const char *path = str_copy_z(&w->arena, str_format(&w->arena, "%s/" STR_FMT, dir, STR_ARG(files[0].name)));
        CHECK_OK(os_file_open(w->options.os, path, OS_READ | OS_WRITE, &file, &w->err), &w->err);
        CHECK_OK(os_file_pread(file, &byte, 1, at, &got, &w->err), &w->err);
        byte ^= 1;
        CHECK_OK(os_file_pwrite(file, str_of(&byte, 1), at, &w->err), &w->err);
        return;
    }
    CHECK(false);
}

static ScrubLast last_of(World *w)
{
    ScrubLast last;
    scrub_last(w->options.os, "/d", &w->arena, &last);
    return last;
}

TEST(scrub_keeps_what_it_found)
{
    World w;
    bool stop = false;
    world_open(&w);
    CHECK_INT(last_of(&w).ended_us, 0);
    put(&w, STR("small"), 100);
    put(&w, STR("large"), BODY_BYTES);
    CHECK(scrub_round(&w.options, &stop));
    CHECK_INT(last_of(&w).objects, 2);
    CHECK_INT(last_of(&w).bytes, BODY_BYTES + 100);
    CHECK_INT(last_of(&w).findings, 0);
    CHECK_INT(last_of(&w).first.len, 0);
    flip(&w, 70000);
    CHECK(scrub_round(&w.options, &stop));
    CHECK_INT(last_of(&w).findings, 1);
    CHECK(str_starts(last_of(&w).first, STR("s3://seen/large: ")));
    CHECK_INT(atomic_load(&w.shown.findings), 1);
    CHECK_INT(atomic_load(&w.shown.seconds), (uint64_t)last_of(&w).ended_us / 1000000);
    world_close(&w);
}

TEST(scrub_that_is_cut_off_says_nothing)
{
    World w;
    bool stop = true;
    world_open(&w);
    put(&w, STR("large"), BODY_BYTES);
    IGNORE(!scrub_round(&w.options, &stop));
    CHECK_INT(last_of(&w).ended_us, 0);
    CHECK_INT(atomic_load(&w.shown.seconds), 0);
    world_close(&w);
}

TEST(scrub_reads_no_damaged_result)
{
    World w;
    world_open(&w);
    static const char *const texts[] = { "", "\n", "1", "1 2 3\n", "x 1 1 0\n", "99999999999999999999 1 1 0\n", "1 2 3 -1\n" };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CHECK_OK(os_write_whole(w.options.os, "/d/store/scrubbed", str_z(texts[i]), &w.err), &w.err);
        CHECK_INT(last_of(&w).ended_us, 0);
    }
    world_close(&w);
}

TEST(scrub_with_an_interval_of_0_is_none)
{
    World w;
    Scrub *scrub = NULL;
    world_open(&w);
    w.options.interval_ms = 0;
    CHECK_OK(scrub_start(&w.options, &scrub, &w.err), &w.err);
    CHECK(scrub == NULL);
    scrub_free(&scrub);
    world_close(&w);
}
