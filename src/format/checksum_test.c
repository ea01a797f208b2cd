#include "base/buf.h"
#include "base/test.h"
#include "base/text.h"
#include "format/checksum.h"

TEST(crc32c_known_values)
{
    CHECK_INT(crc32c(0, STR("123456789")), 0xE3069283);
    CHECK_INT(crc32c(0, STR("")), 0);
    char zeros[32] = { 0 };
    CHECK_INT(crc32c(0, str_of(zeros, 32)), 0x8A9136AA); /* RFC 3720 B.4 */
    CHECK_INT(crc32c(crc32c(0, STR("1234")), STR("56789")), 0xE3069283);
    CHECK(crc32c(0, STR("123456788")) != 0xE3069283);
}

TEST(crc32_zip_known_values)
{
    CHECK_INT(crc32_zip(0, STR("123456789")), 0xCBF43926);
    CHECK_INT(crc32_zip(crc32_zip(0, STR("12345")), STR("6789")), 0xCBF43926);
}

static Str digest_text(Arena *arena, const uint8_t *digest)
{
    return hex_format(arena, str_of(digest, SHA256_LEN));
}

TEST(sha256_known_values)
{
    Arena arena AUTO(arena_done) = { 0 };
    uint8_t digest[SHA256_LEN];
    sha256_of(STR(""), digest);
    CHECK_STR(digest_text(&arena, digest),
              STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    Sha256 sha AUTO(sha256_done) = { 0 };
    sha256_init(&sha);
    sha256_update(&sha, STR("a"));
    sha256_update(&sha, STR("bc"));
    sha256_final(&sha, digest);
    CHECK_STR(digest_text(&arena, digest),
              STR("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}

TEST(hmac_sha256_rfc4231)
{
    Arena arena AUTO(arena_done) = { 0 };
    uint8_t digest[SHA256_LEN];
    hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), digest);
    CHECK_STR(digest_text(&arena, digest),
              STR("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
}

TEST(secrets_compare)
{
    CHECK(secret_eq(STR("abc"), STR("abc")));
    CHECK(secret_eq(STR(""), STR("")));
    CHECK(!secret_eq(STR("abc"), STR("abd")));
    CHECK(!secret_eq(STR("abc"), STR("ab")));
}
