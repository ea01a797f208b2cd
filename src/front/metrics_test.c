#include "front/metrics.h"

#include "base/test.h"

TEST(metrics_have_their_heads)
{
    Buf out AUTO(buf_done);
    buf_init(&out, 4096);
    metric_one(&out, METRIC_http_in_flight, 7);
    CHECK_STR(buf_str(&out), STR("# HELP tarn_http_in_flight requests at work\n"
                                 "# TYPE tarn_http_in_flight gauge\ntarn_http_in_flight 7\n"));
    buf_clear(&out);
    metric_head(&out, METRIC_s3_request_seconds);
    CHECK(str_ends(buf_str(&out), STR("# TYPE tarn_s3_request_seconds histogram\n")));
}
