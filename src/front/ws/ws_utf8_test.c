#include "base/test.h"
#include "front/ws/ws_utf8.h"

/* What a decoder of code points says about a whole text, written another way than the checked one. */
static bool is_text(const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        unsigned lead = bytes[at];
        size_t more = lead < 0x80 ? 0 : lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : lead >> 3 == 30 ? 3 : 9;
        if (more == 9 || at + more >= len)
            return false;
        uint32_t point = more == 0 ? lead : lead & (0x3Fu >> more);
        for (size_t i = 1; i <= more; i++) {
            if (bytes[at + i] >> 6 != 2)
                return false;
            point = point << 6 | (bytes[at + i] & 0x3F);
        }
        static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
        if (point < least[more] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
            return false;
        at += more + 1;
    }
    return true;
}

static bool check_pieces(const uint8_t *bytes, size_t len, size_t cut)
{
    Utf8Check check = { 0 };
    return utf8_add(&check, str_of(bytes, cut)) && utf8_add(&check, str_of(bytes + cut, len - cut)) &&
           utf8_complete(&check);
}

/* All texts of one to three bytes, and those of four that begin with a lead of four. */
TEST(utf8_agrees_with_code_points)
{
    uint8_t b[4];
    size_t wrong = 0;
    for (uint32_t i = 0; i < 1u << 24; i++) {
        b[0] = (uint8_t)(i >> 16), b[1] = (uint8_t)(i >> 8), b[2] = (uint8_t)i;
        wrong += check_pieces(b, 3, i % 4) != is_text(b, 3);
    }
    for (uint32_t i = 0; i < 1u << 16; i++) {
        b[0] = (uint8_t)(i >> 8), b[1] = (uint8_t)i;
        wrong += check_pieces(b, 2, i % 3) != is_text(b, 2);
        wrong += check_pieces(b, 1, i % 2) != is_text(b, 1);
    }
    for (unsigned lead = 0xF0; lead < 0x100; lead++)
        for (uint32_t i = 0; i < 1u << 16; i++) {
            b[0] = (uint8_t)lead, b[1] = (uint8_t)(i >> 8), b[2] = (uint8_t)i;
            b[3] = (uint8_t)(i % 7 ? 0x80 + i % 64 : i % 256);
            wrong += check_pieces(b, 4, i % 5) != is_text(b, 4);
        }
    CHECK_INT(wrong, 0);
}

/* The byte at which nothing can mend the text any more. */
TEST(utf8_is_refused_at_the_first_wrong_byte)
{
    static const struct {
        Str text;
        size_t wrong_at;
    } rows[] = {
        { STR_INIT("a\x80"), 1 },         { STR_INIT("\xc0"), 0 },
        { STR_INIT("\xc1"), 0 },          { STR_INIT("\xf5"), 0 },
        { STR_INIT("\xff"), 0 },          { STR_INIT("\xe0\x9f\x80"), 1 },
        { STR_INIT("\xed\xa0\x80"), 1 },  { STR_INIT("\xf0\x8f\xbf\xbf"), 1 },
        { STR_INIT("\xf4\x90\x80\x80"), 1 }, { STR_INIT("\xe1\x80q"), 2 },
        { STR_INIT("12345678\xc3\xb6 12345678\xfe"), 19 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Utf8Check check = { 0 };
        size_t at = 0;
        while (at < rows[i].text.len && utf8_add(&check, str_sub(rows[i].text, at, 1)))
            at++;
        CHECK_INT(at, rows[i].wrong_at);
    }
}

TEST(utf8_runs_of_ascii_end_where_they_end)
{
    uint8_t bytes[40];
    for (size_t len = 0; len < sizeof bytes; len++)
        for (size_t odd = 0; odd < len; odd++) {
            for (size_t i = 0; i < len; i++)
                bytes[i] = (uint8_t)('a' + i % 26);
            CHECK(check_pieces(bytes, len, odd));
            bytes[odd] = 0xE2;
            CHECK(!check_pieces(bytes, len, odd));
        }
}
