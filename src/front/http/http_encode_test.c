/* What Accept-Encoding chooses, and which types become smaller. Round trips: tests/limit/test_limit.py
 * and http_policy_test.c. */
#include "front/http/http_encode.h"

#include "base/test.h"

TEST(encode_choices)
{
    enum { NONE = ENCODE_IDENTITY, GZIP = ENCODE_GZIP, ZSTD = ENCODE_ZSTD };
    static const struct {
        const char *accept;
        int wanted;
    } rows[] = {
        { NULL, NONE }, { "", NONE }, { "identity", NONE }, { "br", NONE }, { "gzip", GZIP }, { "zstd", ZSTD },
        { "GZIP", GZIP }, { "x-gzip", GZIP }, { "gzip, deflate, br, zstd", ZSTD }, { "gzip, deflate", GZIP },
        { "zstd;q=0.5, gzip", GZIP }, { "zstd;q=0.5, gzip;q=0.5", ZSTD }, { "zstd;q=0, gzip;q=0", NONE },
        { "gzip;q=0", NONE }, { "gzip;q=0.000", NONE }, { "gzip;q=0.001", GZIP }, { "*", ZSTD },
        { "*;q=0", NONE }, { "*;q=0.1, zstd;q=0", GZIP }, { "gzip;q=0.5, identity", NONE },
        { "gzip;q=0.5, identity;q=0.5", GZIP }, { "gzip;q=0.5, identity;q=0.1", GZIP },
        { "identity;q=0, gzip;q=0.1", GZIP }, { "gzip ; q=1.0", GZIP }, { "gzip;Q=1", GZIP },
        { "gzip;q=1.001", NONE }, { "gzip;q=2", NONE }, { "gzip;q=", NONE }, { "gzip;q=0.1234", NONE },
        { "gzip;q=a", NONE }, { "gzip;x=1", NONE }, { ",,gzip,,", GZIP }, { "gzipped", NONE },
        { "zstd;q=abc, gzip", GZIP },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int got = encode_choose(str_z(rows[i].accept));
        if (got != rows[i].wanted)
            test_failed(__FILE__, __LINE__, "'%s' gives %d, wanted %d", rows[i].accept, got, rows[i].wanted);
    }
}

TEST(encode_types)
{
    static const char *const ok[] = { "application/json", "application/json; charset=utf-8", "text/html",
                                      "TEXT/CSV", "application/problem+json", "image/svg+xml",
                                      "application/x-ndjson", "text/event-stream" };
    static const char *const no[] = { "", "application/octet-stream", "image/png", "application/zip", "video/mp4",
                                      "application/vnd.apache.parquet", "application/gzip", "font/woff2" };
    for (size_t i = 0; i < ARRAY_LEN(ok); i++) {
        if (!encode_type_ok(str_z(ok[i])))
            test_failed(__FILE__, __LINE__, "%s", ok[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        if (encode_type_ok(str_z(no[i])))
            test_failed(__FILE__, __LINE__, "%s", no[i]);
    }
}
