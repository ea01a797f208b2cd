/* Covers s3.c, s3_body.c, s3_bucket.c, s3_cors.c, s3_list.c, s3_meta.c, s3_object.c, s3_post.c, s3_reply.c,
 * s3_sts.c, s3_upload.c: their operations are driven by tests/s3/test_s3.py. */
/* The published examples of AWS ("Signature Calculations", header, query, chunks, trailers), and
 * what has to be refused. */
#include "front/s3/sigv4.h"

#include "base/buf.h"
#include "base/test.h"
#include "base/text.h"
#include "format/checksum.h"

#include <string.h>

#define ACCESS "AKIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SCOPE ACCESS "/20130524/us-east-1/s3/aws4_request"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define NOW 1369353600000000ll /* 2013-05-24T00:00:00Z */

typedef struct Case {
    const char *method, *path, *query, *signature, *signed_headers;
    SigField fields[12];
} Case;

#define F(name, value) { STR_INIT(name), STR_INIT(value) }
#define HOST F("Host", "examplebucket.s3.amazonaws.com")
#define DATE F("x-amz-date", "20130524T000000Z")

static const Case cases[] = {
    { "GET",
      "/test.txt",
      "",
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
      "host;range;x-amz-content-sha256;x-amz-date",
      { HOST, F("Range", "bytes=0-9"), F("x-amz-content-sha256", EMPTY), DATE } },
    { "PUT",
      "/test%24file.text",
      "",
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
      "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
      { HOST, F("Date", "Fri, 24 May 2013 00:00:00 GMT"), DATE,
        F("X-Amz-Storage-Class", "REDUCED_REDUNDANCY"),
        F("x-amz-content-sha256",
          "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072") } },
    { "PUT",
      "/test$file.text",
      "",
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
      "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
      { HOST, F("Date", "Fri, 24 May 2013 00:00:00 GMT"), DATE,
        F("x-amz-storage-class", "  REDUCED_REDUNDANCY "),
        F("x-amz-content-sha256",
          "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072") } },
    { "GET",
      "/",
      "lifecycle",
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
      "host;x-amz-content-sha256;x-amz-date",
      { HOST, DATE, F("x-amz-content-sha256", EMPTY) } },
    { "GET",
      "/",
      "prefix=J&max-keys=2",
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
      "host;x-amz-content-sha256;x-amz-date",
      { HOST, DATE, F("x-amz-content-sha256", EMPTY) } },
};

static SigRequest request_of(const Case *c, SigField *fields, Str authorization)
{
    SigRequest request = { str_z(c->method), str_z(c->path), str_z(c->query), fields, 0 };
    for (; c->fields[request.field_count].name.ptr; request.field_count++)
        fields[request.field_count] = c->fields[request.field_count];
    if (authorization.ptr)
        fields[request.field_count++] = (SigField){ STR("Authorization"), authorization };
    return request;
}

static Str authorization_of(Arena *arena, const Case *c)
{
    return str_format(arena, "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=%s,Signature=%s",
                      c->signed_headers, c->signature);
}

TEST(sigv4_published_headers)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        SigField fields[16];
        SigClaim claim;
        SigFail fail = { 0 };
        SigRequest request = request_of(&cases[i], fields, authorization_of(&arena, &cases[i]));
        CHECK(sig_claim(&request, STR("us-east-1"), STR("s3"), &arena, &claim, &fail));
        CHECK_STR(claim.access_key, STR(ACCESS));
        CHECK_INT(claim.date_us, NOW);
        CHECK(sig_check_time(&claim, NOW + 1000000, &arena, &fail));
        SigKey key = sig_key(STR(SECRET), claim.day, claim.region, claim.service);
        CHECK(sig_verify(&request, &claim, &key, STR_NONE, &arena, &fail));
        CHECK_STR(sig_sign(&request, &claim, &key, &arena), str_z(cases[i].signature));
        request.method = STR("DELETE");
        CHECK(!sig_verify(&request, &claim, &key, STR_NONE, &arena, &fail));
        CHECK_STR(str_z(fail.code), STR("SignatureDoesNotMatch"));
        CHECK(str_starts(fail.string_to_sign, STR("AWS4-HMAC-SHA256\n20130524T000000Z\n")));
    }
}

TEST(sigv4_published_query)
{
    Arena arena AUTO(arena_done) = { 0 };
    SigField fields[] = { F("Host", "examplebucket.s3.amazonaws.com") };
    SigRequest request = {
        STR("GET"), STR("/test.txt"),
        STR("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
            "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
            "X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4"
            "c265957d157751f604d404"),
        fields, 1
    };
    SigClaim claim;
    SigFail fail = { 0 };
    CHECK(sig_claim(&request, STR("us-east-1"), STR("s3"), &arena, &claim, &fail));
    CHECK_INT(claim.kind, SIG_QUERY);
    SigKey key = sig_key(STR(SECRET), claim.day, claim.region, claim.service);
    CHECK(sig_verify(&request, &claim, &key, STR_NONE, &arena, &fail));
    CHECK(sig_check_time(&claim, NOW + 86400ll * 1000000, &arena, &fail));
    CHECK(!sig_check_time(&claim, NOW + 86401ll * 1000000, &arena, &fail));
    CHECK_STR(fail.message, STR("Request has expired."));
    CHECK_INT(fail.expired_us, NOW + 86400ll * 1000000);
    CHECK(!sig_check_time(&claim, NOW - 901ll * 1000000, &arena, &fail));
    fields[0].value = STR("internal:9000"); /* what a proxy made of it */
    CHECK(!sig_verify(&request, &claim, &key, STR_NONE, &arena, &fail));
    CHECK(sig_verify(&request, &claim, &key, STR("examplebucket.s3.amazonaws.com"), &arena, &fail));
}

static void fill_a(uint8_t digest[32], size_t len)
{
    char bytes[65536];
    memset(bytes, 'a', len);
    sha256_of(str_of(bytes, len), digest);
}

TEST(sigv4_published_chunks)
{
    static const struct {
        const char *seed, *chunks[3], *trailer;
    } table[] = {
        { "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
          { "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9" },
          NULL },
        { "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
          { "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992" },
          "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435" },
    };
    static const size_t sizes[] = { 65536, 1024, 0 };
    SigKey key = sig_key(STR(SECRET), STR("20130524"), STR("us-east-1"), STR("s3"));
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        SigClaim claim = { .amz_date = STR("20130524T000000Z"),
                           .signature = str_z(table[i].seed),
                           .scope = STR("20130524/us-east-1/s3/aws4_request") };
        SigChain chain, wrong;
        uint8_t digest[32];
        sig_chain_init(&chain, &claim, &key);
        for (size_t c = 0; c < 3; c++) {
            fill_a(digest, sizes[c]);
            wrong = chain;
            CHECK(sig_chain_chunk(&chain, digest, table[i].chunks[c]));
            digest[0] ^= 1;
            CHECK(!sig_chain_chunk(&wrong, digest, table[i].chunks[c]));
        }
        if (!table[i].trailer)
            continue;
        CHECK(sig_chain_trailer(&chain, STR("x-amz-checksum-crc32c:sOO8/Q==\n"),
                                str_z(table[i].trailer)));
        CHECK(!sig_chain_trailer(&chain, STR("x-amz-checksum-crc32c:AAAAAA==\n"),
                                 str_z(table[i].trailer)));
    }
}

TEST(sigv4_refuses_headers)
{
    static const struct {
        const char *authorization, *code, *part; /* part of the message */
    } table[] = {
        { "Bearer x", "InvalidArgument", "Unsupported Authorization Type" },
        { "x", "InvalidArgument", "one and only one" },
        { "AWS AKIA:abc=", "InvalidRequest", "Please use AWS4-HMAC-SHA256" },
        { "AWS4-HMAC-SHA256 Credential=" SCOPE ",SignedHeaders=host",
          "AuthorizationHeaderMalformed", "three components" },
        { "AWS4-HMAC-SHA256 Credential=a=b,SignedHeaders=host,Signature=x",
          "AuthorizationHeaderMalformed", "component \"Credential=a=b\"" },
        { "AWS4-HMAC-SHA256 SignedHeaders=host,Credential=" SCOPE ",Signature=x",
          "AuthorizationHeaderMalformed", "missing Credential." },
        { "AWS4-HMAC-SHA256 Credential=" ACCESS
          "/20130524/us-east-1/s3,SignedHeaders=host,Signature=x",
          "AuthorizationHeaderMalformed", "the Credential is mal-formed" },
        { "AWS4-HMAC-SHA256 Credential=" SCOPE "/more,SignedHeaders=host,Signature=x",
          "AuthorizationHeaderMalformed", "the Credential is mal-formed" },
        { "AWS4-HMAC-SHA256 Credential=" ACCESS
          "/20130524/us-east-1/ec2/aws4_request,SignedHeaders=host,"
          "Signature=x",
          "AuthorizationHeaderMalformed", "incorrect service \"ec2\"" },
        { "AWS4-HMAC-SHA256 Credential=" ACCESS
          "/20130524/us-east-1/s3/aws_request,SignedHeaders=host,"
          "Signature=x",
          "AuthorizationHeaderMalformed", "incorrect terminal" },
        { "AWS4-HMAC-SHA256 Credential=" ACCESS
          "/2013-5-24/us-east-1/s3/aws4_request,SignedHeaders=host,"
          "Signature=x",
          "AuthorizationHeaderMalformed", "incorrect date format" },
        { "AWS4-HMAC-SHA256 Credential=" ACCESS
          "/20130524/eu-west-1/s3/aws4_request,SignedHeaders=host,"
          "Signature=x",
          "AuthorizationHeaderMalformed", "the region \"eu-west-1\" is wrong" },
        { "AWS4-HMAC-SHA256 Credential=" ACCESS
          "/20130523/us-east-1/s3/aws4_request,SignedHeaders=host,"
          "Signature=x",
          "AuthorizationHeaderMalformed", "Date is not the same" },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        SigField fields[16];
        SigClaim claim;
        SigFail fail = { 0 };
        SigRequest request = request_of(&cases[0], fields, str_z(table[i].authorization));
        CHECK(!sig_claim(&request, STR("us-east-1"), STR("s3"), &arena, &claim, &fail));
        CHECK_STR(str_z(fail.code), str_z(table[i].code));
        if (str_find(fail.message, str_z(table[i].part)) < 0)
            test_failed(__FILE__, __LINE__, "row %zu says " STR_FMT, i, STR_ARG(fail.message));
    }
}

TEST(sigv4_refuses_what_is_not_signed)
{
    Arena arena AUTO(arena_done) = { 0 };
    SigField fields[16];
    SigClaim claim;
    SigFail fail = { 0 };
    SigRequest request = request_of(&cases[0], fields, authorization_of(&arena, &cases[0]));
    SigKey key = sig_key(STR(SECRET), STR("20130524"), STR("us-east-1"), STR("s3"));
    fields[request.field_count++] = (SigField){ STR("X-Amz-Copy-Source"), STR("/other/secret") };
    CHECK(sig_claim(&request, STR("us-east-1"), STR("s3"), &arena, &claim, &fail));
    CHECK(!sig_verify(&request, &claim, &key, STR_NONE, &arena, &fail));
    CHECK_STR(fail.headers, STR("x-amz-copy-source"));
    request.field_count--;
    claim.signed_headers = STR("range;x-amz-content-sha256;x-amz-date");
    CHECK(!sig_verify(&request, &claim, &key, STR_NONE, &arena, &fail));
    CHECK_STR(fail.headers, STR("host"));
    CHECK(sig_check_time(&claim, NOW + 900ll * 1000000, &arena, &fail));
    CHECK(!sig_check_time(&claim, NOW + 901ll * 1000000, &arena, &fail));
    CHECK_STR(str_z(fail.code), STR("RequestTimeTooSkewed"));
}

TEST(sigv4_refuses_queries)
{
#define FULL                                                   \
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" SCOPE \
    "&X-Amz-SignedHeaders=host&X-Amz-Signature=x"
    static const struct {
        const char *query, *code, *part;
    } table[] = {
        { "AWSAccessKeyId=a&Signature=b&Expires=1", "InvalidRequest", "Please use" },
        { "X-Amz-Credential=" SCOPE, "AuthorizationQueryParametersError",
          "requires the X-Amz-Algorithm" },
        { "X-Amz-Algorithm=MD5", "AuthorizationQueryParametersError",
          "X-Amz-Algorithm only supports" },
        { FULL, "AuthorizationQueryParametersError", "requires the" },
        { FULL "&X-Amz-Date=x&X-Amz-Expires=5", "AuthorizationQueryParametersError", "ISO8601" },
        { FULL "&X-Amz-Date=20130525T000000Z&X-Amz-Expires=5", "AuthorizationQueryParametersError",
          "not the same as" },
        { FULL "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=x", "AuthorizationQueryParametersError",
          "number" },
        { FULL "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=-1", "AuthorizationQueryParametersError",
          "non-negative" },
        { FULL "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=604801",
          "AuthorizationQueryParametersError", "less than a week" },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        SigField fields[] = { F("Host", "h") };
        SigClaim claim;
        SigFail fail = { 0 };
        SigRequest request = { STR("GET"), STR("/b/k"), str_z(table[i].query), fields, 1 };
        CHECK(!sig_claim(&request, STR("us-east-1"), STR("s3"), &arena, &claim, &fail));
        CHECK_STR(str_z(fail.code), str_z(table[i].code));
        if (str_find(fail.message, str_z(table[i].part)) < 0)
            test_failed(__FILE__, __LINE__, "row %zu says " STR_FMT, i, STR_ARG(fail.message));
    }
}

TEST(sigv4_anonymous)
{
    Arena arena AUTO(arena_done) = { 0 };
    SigField fields[] = { F("Host", "h") };
    SigClaim claim;
    SigFail fail = { 0 };
    SigRequest request = { STR("GET"), STR("/b/k"), STR("versionId=3"), fields, 1 };
    CHECK(sig_claim(&request, STR("us-east-1"), STR("s3"), &arena, &claim, &fail));
    CHECK_INT(claim.kind, SIG_ANONYMOUS);
}
