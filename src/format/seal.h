/* seal.h: small secrets encrypted and authenticated (AES-256-GCM, NIST SP 800-38D).
 * Owner:   results live in the given arena.
 * Threads: any.
 * Errors:  CORRUPT from seal_open: other bytes, another key or another context.
 * Limits:  SEAL_BYTES_MAX; one key seals far fewer than 2^32 texts, as random nonces ask.
 * Units:   bytes. A sealed text is version 1, nonce, ciphertext, tag. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { SEAL_KEY_LEN = 32, SEAL_NONCE_LEN = 12, SEAL_TAG_LEN = 16, SEAL_BYTES_MAX = 64 << 10 };

/* `context` says what is sealed (a table and a row): it is not kept, and the same has to be given to
 * open it, so that a sealed text cannot be moved elsewhere. `nonce` is random, of SEAL_NONCE_LEN. */
Str seal(const uint8_t key[SEAL_KEY_LEN], const uint8_t nonce[SEAL_NONCE_LEN], Str context, Str text,
         Arena *arena);
Code seal_open(const uint8_t key[SEAL_KEY_LEN], Str context, Str sealed, Arena *arena, Str *ret_text,
               Err *err) CHECKED;
