#include "front/metrics.h"

static const struct {
    const char *name, *type, *doc;
} rows[METRIC_COUNT] = {
#define METRIC(name, type, labels, doc) { "tarn_" #name, #type, doc },
#include "front/metrics.def"
#undef METRIC
};

void metric_head(Buf *out, Metric metric)
{
    buf_format(out, "# HELP %s %s\n# TYPE %s %s\n", rows[metric].name, rows[metric].doc, rows[metric].name,
               rows[metric].type);
}

void metric_one(Buf *out, Metric metric, uint64_t value)
{
    metric_head(out, metric);
    buf_format(out, "%s %llu\n", rows[metric].name, (unsigned long long)value);
}
