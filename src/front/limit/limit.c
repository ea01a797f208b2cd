/* Counts of clients. */
#include "front/limit/limit.h"

struct Limits {
    LimitOptions options;
};

Code limits_new(const LimitOptions *options, Limits **ret_limits, Err *err)
{
    Limits *limits = mem_new(sizeof *limits);
    limits->options = *options;
    *ret_limits = limits;
    (void)err;
    return E_OK;
}

void limits_free(Limits **limits)
{
    mem_free(limits);
}

bool limits_bytes_take(Limits *limits, size_t bytes)
{
    (void)limits, (void)bytes;
    return true;
}

void limits_bytes_give(Limits *limits, size_t bytes)
{
    (void)limits, (void)bytes;
}
