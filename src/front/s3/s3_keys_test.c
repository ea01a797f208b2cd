#include "front/s3/s3_priv.h"

#include "base/test.h"

#include <string.h>

static SigClaim claim_of(const char *id, const char *day, const char *service)
{
    return (SigClaim){ .access_key = str_z(id),
                       .day = str_z(day),
                       .region = STR("us-east-1"),
                       .service = str_z(service) };
}

TEST(s3_keys_are_of_their_secret_and_day)
{
    static char longer[] = "a secret that is longer than any that is made here: it is not kept, derived each time";
    const struct {
        const char *id, *secret, *day, *service;
    } cases[] = { { "A", "one", "20261123", "s3" },  { "A", "two", "20261123", "s3" },
                  { "A", "one", "20261123", "s3" },  { "A", "one", "20261124", "s3" },
                  { "A", "one", "20261123", "sts" }, { "B", "one", "20261123", "s3" },
                  { "A", longer, "20261123", "s3" }, { "A", "", "20261123", "s3" },
                  { "A", "one", "", "s3" },          { "A", "one", "20261123", "s3" } };
    S3Server *server = mem_new(sizeof *server);
    server->options.region = STR("us-east-1");
    s3_keys_init(&server->keys);
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            SigClaim claim = claim_of(cases[i].id, cases[i].day, cases[i].service);
            Str secret = str_z(cases[i].secret);
            SigKey wanted = sig_key(secret, claim.day, claim.region, claim.service);
            for (size_t again = 0; again < 2; again++) {
                SigKey got = s3_signing_key(server, secret, &claim);
                CHECK(memcmp(got.bytes, wanted.bytes, sizeof got.bytes) == 0);
            }
        }
    }
    s3_keys_done(&server->keys);
    for (size_t i = 0; i < S3_KEYS_KEPT; i++)
        CHECK(server->keys.entries[i].secret[0] == 0);
    mem_free(&server);
}
