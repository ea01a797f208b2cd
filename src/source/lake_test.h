/* lake_test.h: a store in memory with a Source on it, for the tests of this folder.
 * Owner:   the test.
 * Threads: one.
 * Errors:  CHECKed.
 * Limits:  none.
 * Units:   none. */
#pragma once

#include "base/test.h"
#include "source/source.h"

typedef struct TestLake {
    Store *store;
    Source *source;
    Arena arena;
    Err err;
} TestLake;

static inline void test_lake_open(TestLake *lake)
{
    StoreOptions options = { .backend = "memory", .index = "memory" };
    *lake = (TestLake){ 0 };
    err_clear(&lake->err);
    CHECK_OK(store_open(os_real(), &options, &lake->store, &lake->err), &lake->err);
    SourceOptions source = { .os = os_real(), .store = lake->store };
    CHECK_OK(source_open(&source, &lake->source, &lake->err), &lake->err);
}

static inline void test_lake_done(TestLake *lake)
{
    source_free(&lake->source);
    store_free(&lake->store);
    arena_done(&lake->arena);
}

static inline IngestResult test_ingest(TestLake *lake, const char *source, const char *name,
                                       const char *bytes)
{
    IngestResult result = { 0 };
    IngestBegin begin = { .source = str_z(source), .name = str_z(name) };
    CHECK_OK(source_ingest_bytes(lake->source, &begin, str_z(bytes), &lake->arena, &result, &lake->err),
             &lake->err);
    return result;
}
