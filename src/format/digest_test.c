/* Covers digest.c and crc64.c. */
#include "format/digest.h"

#include "base/buf.h"
#include "base/test.h"
#include "base/text.h"

static const DigestKind kinds[] = { DIGEST_MD5,   DIGEST_SHA1,   DIGEST_SHA256,
                                    DIGEST_CRC32, DIGEST_CRC32C, DIGEST_CRC64NVME,
                                    DIGEST_SHA512, DIGEST_XXHASH64, DIGEST_XXHASH3,
                                    DIGEST_XXHASH128 };

/* Byte by byte no folding is at work. */
TEST(digest_crc64_folds_as_its_tables_say)
{
    char bytes[3000];
    uint32_t state = 3;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)((state = state * 1664525 + 1013904223) >> 24);
    uint64_t alone = 0;
    for (size_t len = 1; len <= sizeof bytes - 64; len++) {
        alone = crc64_nvme(alone, str_of(bytes + 3 + len - 1, 1));
        if (crc64_nvme(0, str_of(bytes + 3, len)) != alone)
            test_failed(__FILE__, __LINE__, "%zu bytes", len);
        uint64_t first = crc64_nvme(0, str_of(bytes + 3, len / 3));
        CHECK(crc64_nvme(first, str_of(bytes + 3 + len / 3, len - len / 3)) == alone);
    }
}

TEST(digest_check_values)
{
    static const struct {
        DigestKind kind;
        const char *hex; /* of "123456789" */
    } table[] = {
        { DIGEST_MD5, "25f9e794323b453885f5181f1b624d0b" },
        { DIGEST_SHA1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441" },
        { DIGEST_SHA256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225" },
        { DIGEST_CRC32, "cbf43926" },
        { DIGEST_CRC32C, "e3069283" },
        { DIGEST_CRC64NVME, "ae8b14860a799888" },
        { DIGEST_SHA512,
          "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55"
          "ec02d73d499c95455b6b5bb503acf574fba8ffe85" },
        { DIGEST_XXHASH64, "8cb841db40e6ae83" },
        { DIGEST_XXHASH3, "72dcb18b67a17dff" },
        { DIGEST_XXHASH128, "33119477ede5dcd5e9716427681d5860" },
    };
    Arena arena AUTO(arena_done) = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        DigestValue value = digest_of(table[i].kind, STR("123456789"));
        CHECK_STR(hex_format(&arena, digest_str(&value)), str_z(table[i].hex));
    }
}

TEST(digest_names)
{
    DigestKind kind;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        CHECK(digest_parse(str_z(digest_name(kinds[i])), &kind));
        CHECK_INT(kind, kinds[i]);
    }
    CHECK(digest_parse(STR("crc64nvme"), &kind));
    CHECK_INT(kind, DIGEST_CRC64NVME);
    CHECK(!digest_parse(STR(""), &kind));
    CHECK(!digest_parse(STR("CRC16"), &kind));
}

static void bytes_fill(char *bytes, size_t len)
{
    uint64_t state = test_seed() | 1;
    for (size_t i = 0; i < len; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        bytes[i] = (char)state;
    }
}

/* One bit after the other, as the definition has it. */
static uint64_t crc64_plain(Str bytes)
{
    uint64_t crc = ~0ull;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (uint8_t)bytes.ptr[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x9A6C9329AC4BC9B5ull : 0);
    }
    return ~crc;
}

TEST(crc64_of_every_length)
{
    char bytes[700];
    bytes_fill(bytes, sizeof bytes);
    for (size_t len = 0; len < sizeof bytes - 3; len++) {
        Str in = str_of(bytes + len % 3, len);
        CHECK(crc64_nvme(0, in) == crc64_plain(in));
        size_t cut = len / 3;
        CHECK(crc64_nvme(crc64_nvme(0, str_sub(in, 0, cut)), str_from(in, cut)) == crc64_plain(in));
    }
}

TEST(digest_in_pieces_and_combined)
{
    char bytes[5000];
    bytes_fill(bytes, sizeof bytes);
    Str all = str_of(bytes, sizeof bytes);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        for (size_t cut = 0; cut <= sizeof bytes; cut += 833) {
            Digest digest AUTO(digest_done) = { 0 };
            digest_init(&digest, kinds[i]);
            digest_update(&digest, str_sub(all, 0, cut));
            digest_update(&digest, str_from(all, cut));
            DigestValue whole = digest_of(kinds[i], all), pieces = digest_final(&digest);
            CHECK(digest_eq(&whole, &pieces));
            if (!digest_is_crc(kinds[i]))
                continue;
            DigestValue a = digest_of(kinds[i], str_sub(all, 0, cut));
            DigestValue b = digest_of(kinds[i], str_from(all, cut));
            DigestValue joined = digest_combine(&a, &b, sizeof bytes - cut);
            CHECK(digest_eq(&whole, &joined));
            joined.bytes[0] ^= 1;
            CHECK(!digest_eq(&whole, &joined));
        }
    }
}
