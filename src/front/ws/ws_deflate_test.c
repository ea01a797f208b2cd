#include "base/test.h"
#include "format/deflate_stream.h"
#include "front/ws/ws_deflate.h"

static const WsDeflate all = { DEFLATE_BITS_MAX, DEFLATE_BITS_MAX, true, true };
static const WsDeflate small = { 12, 11, true, true };
static const WsDeflate forgets = { DEFLATE_BITS_MAX, DEFLATE_BITS_MAX, false, false };

#define PMD "permessage-deflate"

TEST(ws_offers_are_met)
{
    static const struct {
        Str offer;
        const WsDeflate *most;
        Str answer;
        WsDeflate wanted;
    } rows[] = {
        { STR_INIT(PMD), &all, STR_INIT(PMD), { 15, 15, true, true } },
        { STR_INIT("Permessage-DEFLATE"), &all, STR_INIT(PMD), { 15, 15, true, true } },
        { STR_INIT(PMD "; client_max_window_bits"), &all, STR_INIT(PMD), { 15, 15, true, true } },
        { STR_INIT(PMD "; client_max_window_bits"), &small,
          STR_INIT(PMD "; server_max_window_bits=12; client_max_window_bits=11"), { 12, 11, true, true } },
        { STR_INIT(PMD), &small, STR_INIT(PMD "; server_max_window_bits=12"), { 12, 15, true, true } },
        { STR_INIT(PMD ";server_max_window_bits=10;client_max_window_bits=9"), &all,
          STR_INIT(PMD "; server_max_window_bits=10; client_max_window_bits=9"), { 10, 9, true, true } },
        { STR_INIT(PMD "; server_max_window_bits=\"10\""), &all,
          STR_INIT(PMD "; server_max_window_bits=10"), { 10, 15, true, true } },
        { STR_INIT(PMD "; server_max_window_bits=15; client_max_window_bits = 15"), &all,
          STR_INIT(PMD "; server_max_window_bits=15; client_max_window_bits=15"), { 15, 15, true, true } },
        { STR_INIT(PMD "; client_max_window_bits=8"), &all,
          STR_INIT(PMD "; client_max_window_bits=8"), { 15, 8, true, true } },
        { STR_INIT(PMD "; server_no_context_takeover"), &all,
          STR_INIT(PMD "; server_no_context_takeover"), { 15, 15, false, true } },
        { STR_INIT(PMD "; client_no_context_takeover"), &all,
          STR_INIT(PMD "; client_no_context_takeover"), { 15, 15, true, false } },
        { STR_INIT(PMD), &forgets,
          STR_INIT(PMD "; server_no_context_takeover; client_no_context_takeover"), { 15, 15, false, false } },
        { STR_INIT(PMD "; server_max_window_bits=8, " PMD), &all, STR_INIT(PMD), { 15, 15, true, true } },
        { STR_INIT(PMD "; unknown, " PMD "; client_no_context_takeover, " PMD), &all,
          STR_INIT(PMD "; client_no_context_takeover"), { 15, 15, true, false } },
        { STR_INIT("x-other; a=b; c, ,\t" PMD " , y"), &all, STR_INIT(PMD), { 15, 15, true, true } },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        WsDeflate got = { 0 };
        Buf answer AUTO(buf_done);
        buf_init(&answer, 1000);
        CHECK_INT(ws_offer_take(rows[i].offer, rows[i].most, &got, &answer), WS_OFFER_TAKEN);
        CHECK_STR(buf_str(&answer), rows[i].answer);
        CHECK(got.server_bits == rows[i].wanted.server_bits &&
              got.client_bits == rows[i].wanted.client_bits &&
              got.server_keeps == rows[i].wanted.server_keeps &&
              got.client_keeps == rows[i].wanted.client_keeps);
    }
}

TEST(ws_offers_are_declined)
{
    static const char *const rows[] = {
        "", " ", ",", "x-webkit-deflate-frame", "permessage-bzip2",
        PMD "; unknown",
        PMD "; server_no_context_takeover=1",
        PMD "; server_no_context_takeover; server_no_context_takeover",
        PMD "; client_no_context_takeover=true",
        PMD "; server_max_window_bits",
        PMD "; server_max_window_bits=7",
        PMD "; server_max_window_bits=8",
        PMD "; server_max_window_bits=16",
        PMD "; server_max_window_bits=010",
        PMD "; server_max_window_bits=10; server_max_window_bits=10",
        PMD "; server_max_window_bits=+10",
        PMD "; client_max_window_bits=7",
        PMD "; client_max_window_bits=16",
        PMD "; client_max_window_bits=a",
        PMD "; client_max_window_bits; client_max_window_bits",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        WsDeflate got;
        Buf answer AUTO(buf_done);
        buf_init(&answer, 1000);
        if (ws_offer_take(str_z(rows[i]), &all, &got, &answer) != WS_OFFER_NONE || answer.len > 0)
            test_failed(__FILE__, __LINE__, "taken: %s", rows[i]);
    }
}

TEST(ws_offers_that_break_the_grammar)
{
    static const char *const rows[] = {
        ";", PMD ";", PMD "; ;", PMD "; a=", PMD "; a=\"", PMD "; a=\"b", PMD "; a=\"b c\"",
        PMD " x", "a b", PMD "; a=b c", "=", PMD "=1", "\"a\"", PMD "; a=\"\"", "a\x01",
        "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a",
        "a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a;a",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        WsDeflate got;
        Buf answer AUTO(buf_done);
        buf_init(&answer, 1000);
        if (ws_offer_take(str_z(rows[i]), &all, &got, &answer) != WS_OFFER_MALFORMED)
            test_failed(__FILE__, __LINE__, "not refused: %s", rows[i]);
    }
}
