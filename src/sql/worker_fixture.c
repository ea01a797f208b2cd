/* The runner's scan workers: the zygote has to be forked before the first thread, and after the
 * engine's own initializers, which in a static build run in the order of linking. */
#include "base/test.h"
#include "os/worker.h"
#include "sql/raw.h"

#include <stdlib.h>

/* The machine's zone is as far from UTC as can be, on the other day for most of it: no answer may depend on it. */
void test_begin(void)
{
    Err err;
    ASSERT(setenv("TZ", "Pacific/Kiritimati", 1) == 0);
    err_clear(&err);
    raw_register();
    Code code = worker_start(1, &err);
    ASSERT(code == E_OK);
}

__attribute__((destructor)) static void fixture_stop(void)
{
    worker_stop();
}
