#include "format/seal.h"

#include <openssl/evp.h>
#include <string.h>

enum { SEAL_VERSION = 1, HEAD_LEN = 1 + SEAL_NONCE_LEN };

static void cipher_free(EVP_CIPHER_CTX **cipher)
{
    EVP_CIPHER_CTX_free(*cipher);
}

/* OpenSSL fails here only without memory or without its own cipher: nothing to go on with. */
static EVP_CIPHER_CTX *cipher_new(const uint8_t *key, const uint8_t *nonce, Str context, int seals)
{
    int len;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    ASSERT(cipher && EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce, seals) == 1);
    if (context.len > 0)
        ASSERT(EVP_CipherUpdate(cipher, NULL, &len, (const uint8_t *)context.ptr, (int)context.len) == 1);
    return cipher;
}

Str seal(const uint8_t key[SEAL_KEY_LEN], const uint8_t nonce[SEAL_NONCE_LEN], Str context, Str text,
         Arena *arena)
{
    ASSERT(text.len <= SEAL_BYTES_MAX && context.len <= SEAL_BYTES_MAX);
    uint8_t *out = arena_alloc(arena, HEAD_LEN + text.len + SEAL_TAG_LEN);
    EVP_CIPHER_CTX *cipher AUTO(cipher_free) = cipher_new(key, nonce, context, 1);
    int len = 0, last = 0;
    out[0] = SEAL_VERSION;
    memcpy(out + 1, nonce, SEAL_NONCE_LEN);
    ASSERT(EVP_EncryptUpdate(cipher, out + HEAD_LEN, &len, (const uint8_t *)text.ptr, (int)text.len) == 1);
    ASSERT(EVP_EncryptFinal_ex(cipher, out + HEAD_LEN + len, &last) == 1);
    ASSERT(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, SEAL_TAG_LEN, out + HEAD_LEN + text.len) == 1);
    return str_of(out, HEAD_LEN + text.len + SEAL_TAG_LEN);
}

Code seal_open(const uint8_t key[SEAL_KEY_LEN], Str context, Str sealed, Arena *arena, Str *ret_text,
               Err *err)
{
    if (sealed.len < HEAD_LEN + SEAL_TAG_LEN || sealed.len > HEAD_LEN + SEAL_BYTES_MAX + SEAL_TAG_LEN ||
        sealed.ptr[0] != SEAL_VERSION)
        return err_set(err, E_CORRUPT, "this is no sealed text");
    const uint8_t *in = (const uint8_t *)sealed.ptr;
    size_t text_len = sealed.len - HEAD_LEN - SEAL_TAG_LEN;
    uint8_t *out = arena_alloc(arena, text_len + 1);
    EVP_CIPHER_CTX *cipher AUTO(cipher_free) = cipher_new(key, in + 1, context, 0);
    int len = 0, last = 0;
    void *tag = (uint8_t *)(uintptr_t)(in + HEAD_LEN + text_len); /* read only: to be compared */
    ASSERT(EVP_DecryptUpdate(cipher, out, &len, in + HEAD_LEN, (int)text_len) == 1);
    ASSERT(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, SEAL_TAG_LEN, tag) == 1);
    if (EVP_DecryptFinal_ex(cipher, out + len, &last) != 1)
        return err_set(err, E_CORRUPT, "a sealed text was changed, or another key sealed it");
    *ret_text = str_of(out, text_len);
    return E_OK;
}
