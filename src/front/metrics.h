/* metrics.h: the heads of what the doors write into /metrics: names, types and texts come from metrics.def.
 * Owner:   the caller's Buf.
 * Threads: any.
 * Errors:  none; the Buf keeps a failure.
 * Limits:  those of the Buf.
 * Units:   Prometheus' text format 0.0.4: seconds, bytes. */
#pragma once

#include "base/buf.h"

typedef enum Metric {
#define METRIC(name, type, labels, doc) METRIC_##name,
#include "front/metrics.def"
#undef METRIC
    METRIC_COUNT
} Metric;

void metric_head(Buf *out, Metric metric); /* its lines with labels follow */
void metric_one(Buf *out, Metric metric, uint64_t value);
