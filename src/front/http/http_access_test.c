/* Lines that nobody can forge, and a log that neither waits nor loses without counting. */
#include "front/http/http_access.h"

#include "base/test.h"
#include "format/json.h"
#include "os/thread.h"

#include <stdatomic.h>

static const AccessEntry plain = {
    .time_us = 1700000000123456, .took_us = 1500, .in = 3, .out = 200, .status = 200, .client = STR_INIT("10.0.0.1"),
    .method = STR_INIT("GET"), .target = STR_INIT("/v1/x?a=1"), .protocol = STR_INIT("HTTP/1.1"),
    .host = STR_INIT("h"), .route = STR_INIT("x.get"), .principal = STR_INIT("anna"), .id = STR_INIT("id-1"),
    .trace = STR_INIT("0af7651916cd43dd8448eb211c80319c"), .referer = STR_INIT("http://r/"),
    .agent = STR_INIT("curl/8"), .tls = STR_INIT("TLSv1.3"),
};

TEST(access_lines_of_both_forms)
{
    char to[ACCESS_LINE_MAX];
    CHECK_STR(str_of(to, access_json(&plain, to)),
              STR("{\"time\":\"2023-11-14T22:13:20.123456Z\",\"client\":\"10.0.0.1\",\"method\":\"GET\","
                  "\"target\":\"/v1/x?a=1\",\"protocol\":\"HTTP/1.1\",\"host\":\"h\",\"status\":200,\"in\":3,"
                  "\"out\":200,\"us\":1500,\"route\":\"x.get\",\"principal\":\"anna\",\"request_id\":\"id-1\","
                  "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"referer\":\"http://r/\",\"agent\":\"curl/8\","
                  "\"tls\":\"TLSv1.3\"}\n"));
    CHECK_STR(str_of(to, access_combined(&plain, to)),
              STR("10.0.0.1 - anna [14/Nov/2023:22:13:20 +0000] \"GET /v1/x?a=1 HTTP/1.1\" 200 200 "
                  "\"http://r/\" \"curl/8\"\n"));
    AccessEntry bare = { .target = STR("*"), .method = STR("OPTIONS"), .protocol = STR("HTTP/2") };
    CHECK_STR(str_of(to, access_combined(&bare, to)),
              STR("- - - [01/Jan/1970:00:00:00 +0000] \"OPTIONS * HTTP/2\" 000 0 \"-\" \"-\"\n"));
}

/* Every byte and every broken character in each place a client writes. */
TEST(access_no_byte_ends_a_line_or_a_field)
{
    static const Str nasty[] = {
        STR_INIT("a\r\nb"), STR_INIT("\",\"status\":200,\"x\":\""), STR_INIT("\\"), STR_INIT("\\\""), STR_INIT("\0"),
        STR_INIT("\x1b[31mred"), STR_INIT("\xff\xfe"), STR_INIT("\xc3"), STR_INIT("\xed\xa0\x80"), STR_INIT("\xc2\x85"),
        STR_INIT("\xe2\x80\xa8"), STR_INIT("\xf4\x90\x80\x80"), STR_INIT("\xc0\xaf"), STR_INIT("\x7f"),
        STR_INIT("\" 200 0 \"-\" \"-\"\n1.2.3.4 - - [x] \"GET / HTTP/1.1"), STR_INIT("\xe2\x82"), STR_INIT("a b"),
    };
    for (size_t i = 0; i < ARRAY_LEN(nasty) + 256; i++) {
        char one = (char)(i - ARRAY_LEN(nasty)), to[ACCESS_LINE_MAX];
        Str text = i < ARRAY_LEN(nasty) ? nasty[i] : str_of(&one, 1);
        AccessEntry entry = { .status = 200, .client = text, .method = text, .target = text, .protocol = text,
                              .host = text, .route = text, .principal = text, .id = text, .trace = text,
                              .referer = text, .agent = text, .tls = text };
        Str line = str_of(to, access_json(&entry, to));
        CHECK_INT(str_find_char(line, '\n'), line.len - 1);
        Arena arena AUTO(arena_done) = { 0 };
        const Json *json = NULL;
        Err err;
        CHECK_OK(json_parse(&arena, str_sub(line, 0, line.len - 1), NULL, &json, &err), &err);
        CHECK(str_is_utf8(line));
        for (size_t at = 0; at + 1 < line.len; at++)
            CHECK((unsigned char)line.ptr[at] >= ' ' && line.ptr[at] != 127);
        CHECK(str_find(line, STR("\xc2\x85")) < 0 && str_find(line, STR("\xe2\x80\xa8")) < 0);
        line = str_of(to, access_combined(&entry, to));
        size_t quotes = 0;
        for (size_t at = 0; at < line.len; at++) {
            unsigned char c = (unsigned char)line.ptr[at];
            quotes += c == '"';
            CHECK(c == '\n' ? at == line.len - 1 : c >= ' ' && c < 127);
        }
        CHECK_INT(quotes, 6);
        CHECK(str_find(line, STR("\n1.2.3.4")) < 0);
    }
}

TEST(access_the_longest_line_fits)
{
    Buf long_text AUTO(buf_done) = { 0 };
    buf_init(&long_text, 1 << 16);
    for (int i = 0; i < 16000; i++)
        buf_put(&long_text, STR("\x01?&\xff"));
    Str text = buf_str(&long_text);
    AccessEntry entry = { .time_us = INT64_MAX / 2, .took_us = UINT64_MAX, .in = UINT64_MAX, .out = UINT64_MAX,
                          .status = INT32_MAX, .client = text, .method = text, .target = text, .protocol = text,
                          .host = text, .route = text, .principal = text, .id = text, .trace = text,
                          .referer = text, .agent = text, .tls = text };
    char to[ACCESS_LINE_MAX];
    CHECK(access_json(&entry, to) <= ACCESS_LINE_MAX);
    CHECK(access_combined(&entry, to) <= ACCESS_LINE_MAX);
}

TEST(access_secrets_of_a_query_are_left_out)
{
    static const struct {
        const char *target, *wanted;
    } rows[] = {
        { "/a?x=1&token=abc&y=2", "/a?x=1&token=***&y=2" },
        { "/a?X-Amz-Signature=00ff", "/a?X-Amz-Signature=***" },
        { "/a?ACCESS_TOKEN=&b", "/a?ACCESS_TOKEN=***&b" },
        { "/a?tokens=1", "/a?tokens=1" }, { "/a?token", "/a?token" }, { "/a?&&", "/a?&&" }, { "/a?", "/a?" },
        { "/token=abc", "/token=abc" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char to[ACCESS_LINE_MAX];
        AccessEntry entry = { .method = STR("GET"), .target = str_z(rows[i].target), .protocol = STR("HTTP/1.1") };
        Arena arena AUTO(arena_done) = { 0 };
        Str line = str_of(to, access_combined(&entry, to));
        if (str_find(line, str_format(&arena, "\"GET %s HTTP/1.1\"", rows[i].wanted)) < 0)
            test_failed(__FILE__, __LINE__, "%s: " STR_FMT, rows[i].target, STR_ARG(line));
    }
}

enum { WRITERS = 3, LINES = 3000 };
static void *lines_run(void *arg)
{
    AccessLog *log = arg;
    static atomic_uint next;
    size_t shard = atomic_fetch_add(&next, 1);
    for (int i = 0; i < LINES; i++)
        access_put(log, shard, STR("0123456789abcdef0123456789abcdef\n"));
    return NULL;
}

static void file_read(const char *path, Buf *out)
{
    Err err;
    buf_init(out, 8 << 20);
    CHECK_OK(os_read_whole(os_real(), path, out, &err), &err);
}

TEST(access_every_line_is_written_or_counted)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf got AUTO(buf_done) = { 0 };
    const char *path = str_format(&arena, "%s/access.log", test_dir()).ptr;
    AccessLog *log AUTO(access_free) = NULL;
    Thread threads[WRITERS] = { 0 };
    AccessStats stats;
    Err err;
    CHECK_OK(access_open(os_real(), path, &log, &err), &err);
    for (int i = 0; i < WRITERS; i++)
        CHECK_OK(thread_start(&threads[i], "lines", lines_run, log, &err), &err);
    for (int i = 0; i < WRITERS; i++)
        thread_join(&threads[i]);
    access_flush(log);
    access_stats(log, &stats);
    CHECK_INT(stats.written + stats.dropped, WRITERS * LINES);
    CHECK_INT(stats.failed, 0);
    file_read(path, &got);
    CHECK_INT(got.len, stats.written * 33);
}

TEST(access_a_moved_file_is_left_alone_after_reopening)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf old AUTO(buf_done) = { 0 }, new AUTO(buf_done) = { 0 };
    const char *path = str_format(&arena, "%s/access.log", test_dir()).ptr;
    const char *moved = str_format(&arena, "%s/access.log.1", test_dir()).ptr;
    AccessLog *log = NULL;
    Err err;
    CHECK_OK(access_open(os_real(), path, &log, &err), &err);
    access_put(log, 0, STR("one\n"));
    access_flush(log);
    CHECK_OK(os_rename(os_real(), path, moved, &err), &err);
    access_put(log, 1, STR("two\n"));
    CHECK_OK(access_reopen(log, path, &err), &err);
    access_put(log, 2, STR("three\n"));
    CHECK_CODE(access_reopen(log, "/dev/null/none", NULL), E_NOT_FOUND);
    access_free(&log); /* writes what is left */
    file_read(moved, &old);
    file_read(path, &new);
    CHECK_STR(buf_str(&old), STR("one\ntwo\n"));
    CHECK_STR(buf_str(&new), STR("three\n"));
    CHECK_CODE(access_open(os_real(), "/dev/null/none", &log, NULL), E_NOT_FOUND);
}
