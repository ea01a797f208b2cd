/* Against SHA-256 of each text alone. */
#include "format/sha256_many.h"

#include "base/test.h"
#include "base/text.h"

#include <string.h>

enum { TEXTS = 60, LONGEST = 20000 };

static void check(const Str *texts, size_t count)
{
    uint8_t digests[TEXTS][SHA256_LEN];
    sha256_many(texts, count, digests);
    for (size_t i = 0; i < count; i++) {
        uint8_t alone[SHA256_LEN];
        sha256_of(texts[i], alone);
        CHECK(memcmp(digests[i], alone, SHA256_LEN) == 0);
    }
}

TEST(sha256_many_is_sha256_of_each)
{
    Arena arena AUTO(arena_done) = { 0 };
    char *bytes = arena_alloc(&arena, LONGEST + TEXTS);
    Str texts[TEXTS];
    uint32_t state = 1;
    for (size_t i = 0; i < LONGEST + TEXTS; i++)
        bytes[i] = (char)((state = state * 1664525 + 1013904223) >> 24);
    for (size_t i = 0; i < TEXTS; i++) /* around the ends of blocks, short among long */
        texts[i] = str_of(bytes + i, i % 7 == 0 ? (state = state * 1664525 + 1013904223) % LONGEST : i * 5);
    for (size_t count = 0; count <= TEXTS; count++)
        check(texts, count);
    for (size_t i = 0; i < TEXTS; i++)
        texts[i] = str_of(bytes + i, 16384);
    check(texts, TEXTS);
}

/* FIPS 180-2, appendix B, and the empty text; beside others, so that they are in lanes where there are such. */
TEST(sha256_many_knows_fips_180)
{
    enum { COPIES = 9 };
    static const Str known[] = { STR_INIT(""), STR_INIT("abc"),
                                 STR_INIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                                 STR_INIT("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmno"
                                          "pqrlmnopqrsmnopqrstnopqrstu") };
    static const char *const wanted[] = { "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
                                          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" };
    Str texts[COPIES * ARRAY_LEN(known)];
    uint8_t digests[ARRAY_LEN(texts)][SHA256_LEN];
    Arena arena AUTO(arena_done) = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        texts[i] = known[i % ARRAY_LEN(known)];
    sha256_many(texts, ARRAY_LEN(texts), digests);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        CHECK_STR(hex_format(&arena, str_of((char *)digests[i], SHA256_LEN)), str_z(wanted[i % ARRAY_LEN(known)]));
}
