/* crash_points.c: the names of crash_points.def. */
#include "os/crash_point.h"
#include "store/store_priv.h"

static const char *const names[] = {
#define CRASH_POINT(name, doc) #name,
#include "store/crash_points.def"
#undef CRASH_POINT
};

bool store_crash_arm(Str spec)
{
    ptrdiff_t colon = str_find_char(spec, ':');
    Str name = colon < 0 ? spec : str_sub(spec, 0, (size_t)colon);
    uint64_t times = 1;
    crash_point_arm(NULL, 0);
    if (colon >= 0 && (!str_u64(str_from(spec, (size_t)colon + 1), &times) || times == 0))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(str_z(names[i]), name))
            crash_point_arm(names[i], times);
    return crash_point_armed || spec.len == 0;
}

/* One name a stage for each kind of change; NULL: it has none there. */
static const char *const of_kind[][CRASH_STAGES] = {
    [OP_PUT] = { "put_checked", "put_appended", "put_applied" },
    [OP_DELETE] = { "delete_checked", "delete_appended", "delete_applied" },
    [OP_MARKER] = { "delete_checked", "delete_appended", "delete_applied" },
    [OP_UPLOAD_CREATE] = { NULL, "upload_appended", NULL },
    [OP_UPLOAD_PART] = { "part_checked", "part_appended", "part_applied" },
    [OP_UPLOAD_ABORT] = { NULL, "abort_appended", NULL },
    [OP_UNDELETE] = { "undelete_checked", "undelete_appended", "undelete_applied" },
};
static const char *const of_complete[CRASH_STAGES] = { "complete_checked", "complete_appended",
                                                       "complete_applied" };

void crash_point_of(const CommitOp *op, CrashStage stage)
{
    const char *name = op->kind == OP_PUT && op->complete ? of_complete[stage]
                       : op->kind < ARRAY_LEN(of_kind)    ? of_kind[op->kind][stage]
                                                          : NULL;
    if (name && !op->again)
        crash_point_reached(name);
}
