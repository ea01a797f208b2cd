/* cancel.c
 *
 * Invariants:
 * 1. `lease` is the lease of the statement that runs, or NULL; it is taken out before it is
 * returned.
 * 2. A lease that is given after sql_cancel is cancelled at once. */
#include "sql/cancel.h"

#include "os/thread.h"
#include "sql/sql_priv.h"

struct SqlCancel {
    Mutex mutex; /* of all below */
    bool cancelled;
    EngineLease *lease;
};

SqlCancel *sql_cancel_new(void)
{
    SqlCancel *cancel = mem_new(sizeof *cancel);
    mutex_init(&cancel->mutex);
    return cancel;
}

void sql_cancel_free(SqlCancel **cancel)
{
    if (*cancel == NULL)
        return;
    ASSERT((*cancel)->lease == NULL);
    mutex_done(&(*cancel)->mutex);
    mem_free(cancel);
}

void sql_cancel(SqlCancel *cancel)
{
    MUTEX_HELD(&cancel->mutex);
    cancel->cancelled = true;
    if (cancel->lease != NULL)
        engine_lease_cancel(cancel->lease);
}

bool sql_is_cancelled(SqlCancel *cancel)
{
    MUTEX_HELD(&cancel->mutex);
    return cancel->cancelled;
}

void sql_cancel_watch(SqlCancel *cancel, EngineLease *lease)
{
    if (cancel == NULL)
        return;
    MUTEX_HELD(&cancel->mutex);
    cancel->lease = lease;
    if (lease != NULL && cancel->cancelled)
        engine_lease_cancel(lease);
}
