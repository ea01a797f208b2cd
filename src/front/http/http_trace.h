/* http_trace.h: W3C trace context, level 1: traceparent read strictly, tracestate passed on in bounds.
 * Owner:   values and the caller's bytes.
 * Threads: any.
 * Errors:  false: as if the field were not there, the trace does not go on.
 * Limits:  TRACE_STATE_BYTES_MAX and TRACE_STATE_MEMBERS_MAX of tracestate.
 * Units:   none. */
#pragma once

#include "base/buf.h"
#include "base/str.h"

enum {
    TRACE_PARENT_LEN = 55,
    TRACE_STATE_BYTES_MAX = 512,
    TRACE_STATE_MEMBERS_MAX = 32
};

typedef struct TraceParent {
    char trace_id[32], parent_id[16]; /* lower-case hex digits */
    unsigned char flags;
} TraceParent;

/* Version 00, or a later one of which the known part is taken. */
bool trace_parent_parse(Str text, TraceParent *ret_parent);
/* Version 00 with `span_id` as the parent; `text` holds TRACE_PARENT_LEN bytes. */
Str trace_parent_format(const TraceParent *parent, uint64_t span_id, char *text);
/* The first of a trace, not sampled: nobody sent one. No argument needs to be other than 0. */
Str trace_parent_new(uint64_t trace_high, uint64_t trace_low, uint64_t span_id, char *text);
/* Whole members as long as they fit, appended; false: malformed, nothing is to be passed on. */
bool trace_state_put(Str text, Buf *out);
