#include "format/seal.h"

#include "base/test.h"
#include "base/text.h"

#include <string.h>

static const uint8_t key[SEAL_KEY_LEN] = { 1, 2, 3 }, nonce[SEAL_NONCE_LEN] = { 9 };

TEST(seal_opens_what_it_sealed)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    static const char *const texts[] = { "", "a", "a secret of some length, more than one block" };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        Str text = STR_NONE, sealed = seal(key, nonce, STR("row 7"), str_z(texts[i]), &arena);
        CHECK_INT(sealed.len, 1 + SEAL_NONCE_LEN + strlen(texts[i]) + SEAL_TAG_LEN);
        CHECK_OK(seal_open(key, STR("row 7"), sealed, &arena, &text, &err), &err);
        CHECK_STR(text, str_z(texts[i]));
    }
}

/* Test case 14 of the GCM specification: AES-256, a zero key and nonce, one zero block. */
TEST(seal_known_value)
{
    Arena arena AUTO(arena_done) = { 0 };
    static const uint8_t zero[SEAL_KEY_LEN];
    static const char block[16];
    Str sealed = seal(zero, zero, STR(""), str_of(block, sizeof block), &arena);
    CHECK_STR(hex_format(&arena, str_from(sealed, 1 + SEAL_NONCE_LEN)),
              STR("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"));
}

TEST(seal_refuses_every_change)
{
    Arena arena AUTO(arena_done) = { 0 };
    Str text, sealed = seal(key, nonce, STR("row 7"), STR("secret"), &arena);
    uint8_t other[SEAL_KEY_LEN] = { 2 };
    char *bytes = (char *)(uintptr_t)sealed.ptr;
    for (size_t i = 0; i < sealed.len; i++) {
        bytes[i] ^= 4;
        CHECK_CODE(seal_open(key, STR("row 7"), sealed, &arena, &text, NULL), E_CORRUPT);
        bytes[i] ^= 4;
    }
    for (size_t len = 0; len < sealed.len; len++)
        CHECK_CODE(seal_open(key, STR("row 7"), str_sub(sealed, 0, len), &arena, &text, NULL), E_CORRUPT);
    CHECK_CODE(seal_open(key, STR("row 8"), sealed, &arena, &text, NULL), E_CORRUPT);
    CHECK_CODE(seal_open(other, STR("row 7"), sealed, &arena, &text, NULL), E_CORRUPT);
}
