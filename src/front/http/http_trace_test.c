/* traceparent and tracestate by the letter. */
#include "front/http/http_trace.h"

#include "base/test.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

TEST(trace_parents)
{
    static const struct {
        const char *text;
        int flags; /* -1: none */
    } rows[] = {
        { "00-" TRACE "-" SPAN "-01", 1 },
        { "00-" TRACE "-" SPAN "-00", 0 },
        { "00-" TRACE "-" SPAN "-ff", 255 },
        { "01-" TRACE "-" SPAN "-03", 1 },
        { "01-" TRACE "-" SPAN "-01-more", 1 },
        { "cc-" TRACE "-" SPAN "-01-", 1 },
        { "", -1 },
        { "00", -1 },
        { "00-" TRACE "-" SPAN "-01-", -1 },
        { "00-" TRACE "-" SPAN "-01-more", -1 },
        { "01-" TRACE "-" SPAN "-01more", -1 },
        { "ff-" TRACE "-" SPAN "-01", -1 },
        { "0-" TRACE "-" SPAN "-011", -1 },
        { "00-00000000000000000000000000000000-" SPAN "-01", -1 },
        { "00-" TRACE "-0000000000000000-01", -1 },
        { "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", -1 },
        { "00-" TRACE "-B7AD6B7169203331-01", -1 },
        { "00-" TRACE "-" SPAN "-0X", -1 },
        { "00-" TRACE "-" SPAN "-1", -1 },
        { "00_" TRACE "-" SPAN "-01", -1 },
        { "0x-" TRACE "-" SPAN "-01", -1 },
        { "00-0af7651916cd43dd8448eb211c8031-" SPAN "abc-01", -1 },
        { " 00-" TRACE "-" SPAN "-0", -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        TraceParent parent = { 0 };
        bool ok = trace_parent_parse(str_z(rows[i].text), &parent);
        if (ok != (rows[i].flags >= 0) || (ok && parent.flags != rows[i].flags))
            test_failed(__FILE__, __LINE__, "'%s': %d, flags %d", rows[i].text, ok, parent.flags);
    }
}

TEST(trace_parent_that_begins)
{
    TraceParent parent;
    char text[TRACE_PARENT_LEN];
    CHECK_STR(trace_parent_new(0x0123456789abcdef, 0xfedcba9876543210, 0x1122334455667788, text),
              STR("00-0123456789abcdeffedcba9876543210-1122334455667788-00"));
    CHECK(trace_parent_parse(trace_parent_new(0, 0, 0, text), &parent));
}

TEST(trace_parent_goes_on_with_a_new_span)
{
    TraceParent parent;
    char text[TRACE_PARENT_LEN];
    CHECK(trace_parent_parse(STR("00-" TRACE "-" SPAN "-01"), &parent));
    CHECK_STR(trace_parent_format(&parent, 0x1234, text), STR("00-" TRACE "-0000000000001234-01"));
    CHECK_STR(trace_parent_format(&parent, 0, text), STR("00-" TRACE "-0000000000000001-01"));
}

TEST(trace_states)
{
    static const struct {
        const char *text, *wanted; /* NULL: malformed */
    } rows[] = {
        { "rojo=00f067aa0ba902b7", "rojo=00f067aa0ba902b7" },
        { "a=1 , b=2,\tc=3", "a=1,b=2,c=3" },
        { "a=1,,b=2", "a=1,b=2" },
        { "", "" },
        { "fw529a3039@dt=FfAA; x", "fw529a3039@dt=FfAA; x" },
        { "a", NULL }, { "=1", NULL }, { "a=", NULL }, { "A=1", NULL }, { "a b=1", NULL },
        { "a=1,a=2", NULL }, { "a=1=2", NULL }, { "a=\xc3\xa4", NULL }, { "a=\x01", NULL }, { "-a=1", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Buf out AUTO(buf_done) = { 0 };
        buf_init(&out, 1024);
        bool ok = trace_state_put(str_z(rows[i].text), &out);
        if (ok != (rows[i].wanted != NULL) || (ok && !str_eq(buf_str(&out), str_z(rows[i].wanted))))
            test_failed(__FILE__, __LINE__, "'%s': %d", rows[i].text, ok);
    }
}

TEST(trace_state_is_cut_at_whole_members)
{
    Buf text AUTO(buf_done) = { 0 }, out AUTO(buf_done) = { 0 };
    buf_init(&text, 1 << 16);
    buf_init(&out, 1 << 16);
    for (int i = 0; i < 10; i++)
        buf_format(&text, "%sv%d=%0100d", i ? "," : "", i, i);
    CHECK(trace_state_put(buf_str(&text), &out));
    CHECK(out.len <= TRACE_STATE_BYTES_MAX);
    CHECK_STR(buf_str(&out), str_sub(buf_str(&text), 0, out.len));
    CHECK_INT(out.len, 4 * 104 - 1);
    buf_clear(&text);
    for (int i = 0; i < 33; i++)
        buf_format(&text, "%sv%d=1", i ? "," : "", i);
    CHECK(!trace_state_put(buf_str(&text), &out));
}
