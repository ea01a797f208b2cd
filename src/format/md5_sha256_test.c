/* Against MD5 and SHA-256 of the same bytes alone, in pieces of many lengths. */
#include "format/md5_sha256.h"

#include "base/test.h"

#include <string.h>

enum { LONGEST = 5000 };

static void check(const char *bytes, size_t len, size_t piece, size_t apart)
{
    Digest md5 AUTO(digest_done) = { 0 };
    Sha256 sha AUTO(sha256_done) = { 0 };
    uint8_t got[SHA256_LEN], alone[SHA256_LEN];
    digest_init(&md5, DIGEST_MD5);
    sha256_init(&sha);
    for (size_t at = 0; at < len; at += piece) {
        Str part = str_sub(str_of(bytes, len), at, piece);
        if (apart > 0 && at / piece % apart == 0) { /* one of them goes its own way for a while */
            Str first = str_sub(part, 0, part.len / 3);
            digest_update(&md5, first);
            sha256_update(&sha, first);
            part = str_from(part, first.len);
        }
        md5_sha256_update(&md5, &sha, part);
    }
    DigestValue value = digest_final(&md5), wanted = digest_of(DIGEST_MD5, str_of(bytes, len));
    sha256_final(&sha, got);
    sha256_of(str_of(bytes, len), alone);
    CHECK(digest_eq(&value, &wanted));
    CHECK(memcmp(got, alone, sizeof got) == 0);
}

TEST(md5_sha256_are_both_of_the_same_bytes)
{
    char bytes[LONGEST];
    uint32_t state = 7;
    for (size_t i = 0; i < LONGEST; i++)
        bytes[i] = (char)((state = state * 1664525 + 1013904223) >> 24);
    for (size_t len = 0; len < 300; len++)
        check(bytes + len % 5, len, MAX(len, (size_t)1), 0);
    static const size_t pieces[] = { 1, 3, 63, 64, 65, 127, 128, 1000, 4096 };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        for (size_t apart = 0; apart < 4; apart++)
            check(bytes + i, LONGEST - 16, pieces[i], apart);
}

TEST(md5_sha256_go_on_where_they_differ)
{
    Digest md5 AUTO(digest_done) = { 0 };
    Sha256 sha AUTO(sha256_done) = { 0 };
    char bytes[1000];
    uint8_t got[SHA256_LEN], alone[SHA256_LEN];
    memset(bytes, 'x', sizeof bytes);
    digest_init(&md5, DIGEST_MD5);
    sha256_init(&sha);
    digest_update(&md5, str_of(bytes, 10)); /* MD5 is of ten bytes more */
    md5_sha256_update(&md5, &sha, str_of(bytes, 900));
    DigestValue value = digest_final(&md5), wanted = digest_of(DIGEST_MD5, str_of(bytes, 910));
    sha256_final(&sha, got);
    sha256_of(str_of(bytes, 900), alone);
    CHECK(digest_eq(&value, &wanted));
    CHECK(memcmp(got, alone, sizeof got) == 0);
}
