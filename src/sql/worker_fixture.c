/* The runner's scan workers: the zygote has to be forked before the first thread, and after the
 * engine's own initializers, which in a static build run in the order of linking. */
#include "base/test.h"
#include "os/worker.h"
#include "sql/raw.h"

void test_begin(void)
{
    Err err;
    err_clear(&err);
    raw_register();
    Code code = worker_start(1, &err);
    ASSERT(code == E_OK);
}

__attribute__((destructor)) static void fixture_stop(void)
{
    worker_stop();
}
