/* api_fake.h: a lake with objects in memory and its database in the case's directory, for tests.
 * Owner:   the test case: fake_lake_open and fake_lake_close.
 * Threads: those of an ApiLake.
 * Errors:  a failed call fails the case.
 * Limits:  one engine slot or two; small memory.
 * Units:   none. */
#pragma once

#include "api/api.h"

typedef struct FakeLake {
    ApiLake lake;
    Arena arena;
    Str admin_key, reader_key;
} FakeLake;

void fake_lake_open(FakeLake *fake);
void fake_lake_close(FakeLake *fake);
/* A call of the admin, or of the reader. */
ApiCall fake_lake_call(FakeLake *fake, bool admin);
/* Runs a statement and drops its rows. */
void fake_lake_sql(FakeLake *fake, const char *text);
