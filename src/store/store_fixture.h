/* store_fixture.h: a store on the real machine for several tests: opened, filled, compared, copied as a kill leaves it.
 * Owner:   the test.
 * Threads: one.
 * Errors:  by CHECK; those of store_open.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "store/store_keep.h"

#define FIXTURE_BUCKET STR("bronze")

/* RocksDB is not instrumented: under the thread sanitizer its rows would only show false races. */
extern const bool fixture_has_rocksdb;

/* In the directory `store` of the test, with small segments and without a trash. */
Code fixture_open(const char *index, Store **store, Err *err);
size_t fixture_files(const char *name); /* below objects/ of that directory */
/* Objects of all kinds in FIXTURE_BUCKET, some replaced, some deleted; and that they are there. */
void fixture_fill(Store *store);
void fixture_check(Store *store);
/* The files of `store`, as they are now, under another name: what a killed process leaves behind. */
void fixture_image_take(const char *name);
Code fixture_image_open(const char *name, Store **store, Err *err);
