/* The runner's scan workers: the zygote has to be forked before the first thread, hence before
 * main(). */
#include "os/worker.h"
#include "sql/raw.h"

__attribute__((constructor)) static void fixture_start(void)
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
