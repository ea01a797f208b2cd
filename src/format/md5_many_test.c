/* Against MD5 of each text alone. */
#include "format/md5_many.h"

#include "base/test.h"
#include "base/text.h"
#include "format/digest.h"

#include <string.h>

enum { TEXTS = 90, LONGEST = 20000 };

static void check(const Str *texts, size_t count)
{
    uint8_t digests[TEXTS][MD5_LEN];
    md5_many(texts, count, digests);
    for (size_t i = 0; i < count; i++) {
        DigestValue alone = digest_of(DIGEST_MD5, texts[i]);
        CHECK(memcmp(digests[i], alone.bytes, MD5_LEN) == 0);
    }
}

TEST(md5_many_is_md5_of_each)
{
    Arena arena AUTO(arena_done) = { 0 };
    char *bytes = arena_alloc(&arena, LONGEST + TEXTS);
    Str texts[TEXTS];
    uint32_t state = 1;
    for (size_t i = 0; i < LONGEST + TEXTS; i++)
        bytes[i] = (char)((state = state * 1664525 + 1013904223) >> 24);
    for (size_t i = 0; i < TEXTS; i++) /* around the ends of blocks, short among long */
        texts[i] = str_of(bytes + i, i % 7 == 0 ? (state = state * 1664525 + 1013904223) % LONGEST : i * 3);
    for (size_t count = 0; count <= TEXTS; count++)
        check(texts, count);
    for (size_t i = 0; i < TEXTS; i++)
        texts[i] = str_of(bytes + i, 16384);
    check(texts, TEXTS);
}

TEST(md5_many_knows_rfc_1321)
{
    const Str texts[] = { STR(""), STR("a"), STR("abc"), STR("message digest"),
                          STR("12345678901234567890123456789012345678901234567890123456789012345678901234567890") };
    static const char *const wanted[] = { "d41d8cd98f00b204e9800998ecf8427e", "0cc175b9c0f1b6a831c399e269772661",
                                          "900150983cd24fb0d6963f7d28e17f72", "f96b697d7cb7938d525a2f31aaf161d0",
                                          "57edf4a22be3c955ac49da2e2107b67a" };
    uint8_t digests[ARRAY_LEN(texts)][MD5_LEN];
    Arena arena AUTO(arena_done) = { 0 };
    md5_many(texts, ARRAY_LEN(texts), digests);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        CHECK_STR(hex_format(&arena, str_of((char *)digests[i], MD5_LEN)), str_z(wanted[i]));
}
