#include "base/test.h"
#include "front/grpc/grpc_text.h"

TEST(grpc_message_is_percent_encoded)
{
    static const struct {
        Str text, wanted;
    } rows[] = {
        { STR_INIT(""), STR_INIT("") },
        { STR_INIT("plain text ~"), STR_INIT("plain text ~") },
        { STR_INIT("100%"), STR_INIT("100%25") },
        { STR_INIT("two\r\nlines\t\x7f"), STR_INIT("two%0D%0Alines%09%7F") },
        { STR_INIT("gr\xc3\xb6\xc3\x9f" "e\0"), STR_INIT("gr%C3%B6%C3%9Fe%00") },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Buf out AUTO(buf_done), back AUTO(buf_done);
        buf_init(&out, 1000);
        buf_init(&back, 1000);
        grpc_message_put(&out, rows[i].text);
        CHECK_STR(buf_str(&out), rows[i].wanted);
        grpc_message_decode(&back, buf_str(&out));
        CHECK_STR(buf_str(&back), rows[i].text);
    }
    Buf out AUTO(buf_done);
    buf_init(&out, 1000);
    grpc_message_decode(&out, STR("%4g %zz % %4 %c3%b6%"));
    CHECK_STR(buf_str(&out), STR("%4g %zz % %4 \xc3\xb6%"));
}

TEST(grpc_timeouts)
{
    static const struct {
        const char *value;
        int64_t us; /* -1: refused */
    } rows[] = {
        { "1H", 3600000000 }, { "2M", 120000000 },  { "3S", 3000000 },  { "4m", 4000 },
        { "5u", 5 },          { "6n", 1 },          { "1001n", 2 },     { "0n", 0 },
        { "0S", 0 },          { "99999999H", 359999996400000000 },      { "100000000S", -1 },
        { "", -1 },           { "S", -1 },          { "1", -1 },        { "1s", -1 },
        { "1h", -1 },         { "-1S", -1 },        { "+1S", -1 },      { " 1S", -1 },
        { "1 S", -1 },        { "1.5S", -1 },       { "0x1S", -1 },     { "1SS", -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t us = -1;
        bool ok = grpc_timeout_parse(str_z(rows[i].value), &us);
        if (ok != (rows[i].us >= 0) || us != rows[i].us)
            test_failed(__FILE__, __LINE__, "%s: %lld", rows[i].value, (long long)us);
    }
}

TEST(grpc_binary_metadata)
{
    static const struct {
        Str bytes, text, padded;
    } rows[] = {
        { STR_INIT(""), STR_INIT(""), STR_INIT("") },
        { STR_INIT("\0"), STR_INIT("AA"), STR_INIT("AA==") },
        { STR_INIT("ab"), STR_INIT("YWI"), STR_INIT("YWI=") },
        { STR_INIT("abc"), STR_INIT("YWJj"), STR_INIT("YWJj") },
    };
    Arena arena AUTO(arena_done) = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Buf out AUTO(buf_done);
        Str back;
        buf_init(&out, 1000);
        grpc_bin_put(&out, rows[i].bytes);
        CHECK_STR(buf_str(&out), rows[i].text);
        CHECK(grpc_bin_parse(&arena, rows[i].text, &back) && str_eq(back, rows[i].bytes));
        CHECK(grpc_bin_parse(&arena, rows[i].padded, &back) && str_eq(back, rows[i].bytes));
    }
    Str back;
    CHECK(!grpc_bin_parse(&arena, STR("A"), &back));
    CHECK(!grpc_bin_parse(&arena, STR("A*=="), &back));
    CHECK(!grpc_bin_parse(&arena, STR("YWJjA"), &back));
}

TEST(grpc_content_types)
{
    static const char *const good[] = { "application/grpc", "application/grpc+proto", "Application/GRPC",
                                        "application/grpc;charset=utf-8", "application/grpc ; a=b" };
    static const char *const bad[] = { "", "application/json", "application/grpc-web", "application/grpcx",
                                       "text/application/grpc" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        CHECK(grpc_type_is(str_z(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!grpc_type_is(str_z(bad[i])));
}

TEST(grpc_status_has_a_face_for_every_code)
{
    for (Code code = 0; code < E_COUNT; code++)
        CHECK(grpc_status_of(code) <= GRPC_UNAUTHENTICATED && (code == E_OK) == (grpc_status_of(code) == GRPC_OK));
    CHECK_INT(grpc_status_of_http(404), GRPC_UNIMPLEMENTED);
    CHECK_INT(grpc_status_of_http(503), GRPC_UNAVAILABLE);
    CHECK_INT(grpc_status_of_http(418), GRPC_UNKNOWN);
}
