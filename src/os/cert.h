/* cert.h: makes a local certificate authority and certificates that it vouches for, for a first
 * secure start and for tests.
 * Owner:   the caller; keys leave only in the Bufs.
 * Threads: any; no state.
 * Errors:  INVALID for names, a CA that is none, or a CA and key that do not match.
 * Limits:  CERT_NAMES_MAX names, CERT_DAYS_MAX; a Buf of CERT_PEM_BYTES_MAX holds any result.
 * Units:   days. */
#pragma once

#include "base/buf.h"

enum { CERT_NAMES_MAX = 64, CERT_DAYS_MAX = 36500, CERT_PEM_BYTES_MAX = 64 << 10 };

typedef enum CertUse { CERT_SERVER = 1, CERT_CLIENT = 2 } CertUse;

typedef struct CertLeaf {
    Str ca_cert_pem, ca_key_pem;
    const Str *names;  /* DNS names (`*.` in front allowed) and addresses; the first is also the CN. Of a
                          client only: any text as the CN, and mail addresses too */
    size_t name_count;
    int days;          /* from now; negative: has expired so many days ago */
    CertUse use;       /* CERT_SERVER | CERT_CLIENT for both */
} CertLeaf;

/* P-256, ECDSA with SHA-256; the Bufs were initialised by the caller and are appended to. */
Code cert_make_ca(const char *name, int days, Buf *ret_cert_pem, Buf *ret_key_pem, Err *err) CHECKED;
Code cert_make_leaf(const CertLeaf *leaf, Buf *ret_cert_pem, Buf *ret_key_pem, Err *err) CHECKED;
