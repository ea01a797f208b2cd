/* store_conformance.h: what every backend with every index must do; a new row only adds a line
 * here. Owner:   the test runner. Threads: one. Errors:  by CHECK. Limits:  none. Units:   none. */
#pragma once

#include "store/store.h"

/* Each opens stores in `options->dir`, which is empty. */
void conform_put_and_read(Os *os, const StoreOptions *options);
void conform_large_objects(Os *os, const StoreOptions *options);
void conform_conditions(Os *os, const StoreOptions *options);
void conform_publish_all_or_nothing(Os *os, const StoreOptions *options);
void conform_listing(Os *os, const StoreOptions *options);
void conform_buckets(Os *os, const StoreOptions *options);
void conform_feed(Os *os, const StoreOptions *options);
void conform_bad_input(Os *os, const StoreOptions *options);
void conform_readers_outlive_objects(Os *os, const StoreOptions *options);

/* Bytes of object `number`: the same in writers and checkers. */
void pattern_fill(char *bytes, size_t len, uint64_t number, uint64_t at);
Code pattern_put(Store *store, Str bucket, Str key, size_t len, uint64_t number, Err *err);
/* Reads all and compares length, bytes and SHA-256. */
bool pattern_is(Store *store, Str bucket, Str key, size_t len, uint64_t number);
