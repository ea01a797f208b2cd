/* Covers access.c and session_policy.c. */
#include "govern/access.h"

#include "base/test.h"
#include "os/os_sim.h"
#include "os/thread.h"

#include <stdio.h>
#include <string.h>

typedef struct House {
    Meta *meta;
    Govern *govern;
    Arena arena;
    char master[OS_PATH_MAX];
} House;

static void house_open(House *house)
{
    Err err;
    const char *path = str_format(&house->arena, "%s/tarn.db%c", test_dir(), 0).ptr;
    snprintf(house->master, sizeof house->master, "%s/master", test_dir());
    CHECK_OK(meta_open(os_real(), &(MetaOptions){ .path = path }, &house->meta, &err), &err);
    CHECK_OK(govern_open(os_real(), house->meta, &house->govern, &err), &err);
    CHECK_OK(govern_master_load(house->govern, house->master, STR_NONE, &err), &err);
}

static void house_done(House *house)
{
    govern_free(&house->govern);
    meta_free(&house->meta);
    arena_done(&house->arena);
}

static Str access_new(House *house, const char *name, GovernRole role, Str *ret_secret)
{
    Err err;
    Str id = STR_NONE;
    MetaPrincipal principal;
    CHECK_OK(govern_principal_create(house->govern, str_z(name), role, STR("test"), &house->arena,
                                     &principal, &err),
             &err);
    CHECK_OK(govern_access_create(house->govern, str_z(name), 0, STR("test"), &house->arena, &id,
                                  ret_secret, &err),
             &err);
    return id;
}

TEST(access_keys_open_and_end)
{
    House house = { 0 };
    Err err;
    Str secret = STR_NONE;
    AccessGrant grant = { 0 };
    house_open(&house);
    Str id = access_new(&house, "ann", ROLE_ENGINEER, &secret);
    CHECK_INT(id.len, 20);
    CHECK_INT(secret.len, 40);
    for (int pass = 0; pass < 2; pass++) { /* the second from the cache */
        CHECK_OK(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err), &err);
        CHECK_STR(grant.secret, secret);
        CHECK_STR(grant.principal.name, STR("ann"));
        CHECK_INT(grant.principal.role, ROLE_ENGINEER);
    }
    CHECK_OK(govern_access_change(house.govern, id, ACCESS_DISABLE, STR("test"), &err), &err);
    CHECK_CODE(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err),
               E_UNAUTHENTICATED);
    CHECK_OK(govern_access_change(house.govern, id, ACCESS_ENABLE, STR("test"), &err), &err);
    CHECK_OK(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err), &err);
    CHECK_OK(govern_principal_set(house.govern, STR("ann"), &(GovernRole){ ROLE_READER }, NULL, STR("test"), &err),
             &err);
    CHECK_OK(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err), &err);
    CHECK_INT(grant.principal.role, ROLE_READER);
    CHECK_OK(govern_access_change(house.govern, id, ACCESS_REVOKE, STR("test"), &err), &err);
    CHECK_OK(govern_access_change(house.govern, id, ACCESS_REVOKE, STR("test"), &err), &err);
    CHECK_CODE(govern_access_change(house.govern, id, ACCESS_ENABLE, STR("test"), &err),
               E_NOT_FOUND);
    CHECK_CODE(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err),
               E_UNAUTHENTICATED);
    CHECK_CODE(
        govern_access_find(house.govern, STR("TARNXXXX"), STR_NONE, &house.arena, &grant, &err),
        E_UNAUTHENTICATED);
    MetaAccessKey *keys;
    size_t count = 0;
    CHECK_OK(govern_access_list(house.govern, STR("ann"), &house.arena, &keys, &count, &err), &err);
    CHECK_INT(count, 1);
    CHECK(str_find(keys[0].secret_sealed, secret) < 0);
    house_done(&house);
}

TEST(access_rotates_and_survives_a_restart)
{
    House house = { 0 };
    Err err;
    Str first_secret = STR_NONE, second_secret = STR_NONE, second = STR_NONE;
    AccessGrant grant = { 0 };
    house_open(&house);
    Str first = access_new(&house, "ann", ROLE_READER, &first_secret);
    CHECK_OK(govern_access_create(house.govern, STR("ann"), os_now_us(os_real()) + 3600000000ll,
                                  STR("test"), &house.arena, &second, &second_secret, &err),
             &err);
    CHECK_CODE(govern_access_create(house.govern, STR("bob"), 0, STR("test"), &house.arena, &second,
                                    &second_secret, &err),
               E_NOT_FOUND);
    Str expired = STR_NONE, expired_secret;
    CHECK_OK(govern_access_create(house.govern, STR("ann"), 1, STR("test"), &house.arena, &expired,
                                  &expired_secret, &err),
             &err);
    CHECK_CODE(govern_access_find(house.govern, expired, STR_NONE, &house.arena, &grant, &err),
               E_UNAUTHENTICATED);
    govern_free(&house.govern);
    CHECK_OK(govern_open(os_real(), house.meta, &house.govern, &err), &err);
    CHECK_CODE(govern_access_find(house.govern, first, STR_NONE, &house.arena, &grant, &err),
               E_UNAVAILABLE);
    CHECK_OK(govern_master_load(house.govern, house.master, STR_NONE, &err), &err);
    CHECK_OK(govern_access_find(house.govern, first, STR_NONE, &house.arena, &grant, &err), &err);
    CHECK_STR(grant.secret, first_secret);
    CHECK_OK(govern_access_find(house.govern, second, STR_NONE, &house.arena, &grant, &err), &err);
    govern_free(&house.govern);
    CHECK_OK(govern_open(os_real(), house.meta, &house.govern, &err),
             &err); /* another master key */
    CHECK_CODE(govern_master_load(house.govern, house.master, STR("0102"), &err), E_INVALID);
    CHECK_OK(govern_master_load(
                 house.govern, house.master,
                 STR("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"), &err),
             &err);
    CHECK_CODE(govern_access_find(house.govern, first, STR_NONE, &house.arena, &grant, &err),
               E_CORRUPT);
    house_done(&house);
}

TEST(access_rotation_overlaps)
{
    House house = { 0 };
    Err err;
    AccessGrant grant;
    Str secret, second, second_secret, third, third_secret;
    house_open(&house);
    int64_t hour = 3600000000ll, now = os_now_us(os_real());
    Str first = access_new(&house, "ann", ROLE_READER, &secret);
    CHECK_OK(govern_access_rotate(house.govern, first, now + hour, 0, STR("test"), &house.arena, &second,
                                  &second_secret, &err), &err);
    CHECK(!str_eq(first, second) && !str_eq(secret, second_secret));
    CHECK_OK(govern_access_find(house.govern, first, STR_NONE, &house.arena, &grant, &err), &err);
    CHECK_OK(govern_access_find(house.govern, second, STR_NONE, &house.arena, &grant, &err), &err);
    CHECK_STR(grant.principal.name, STR("ann"));
    CHECK_STR(grant.secret, second_secret);
    CHECK_OK(govern_access_rotate(house.govern, second, now - 1, 0, STR("test"), &house.arena, &third,
                                  &third_secret, &err), &err);
    CHECK_CODE(govern_access_find(house.govern, second, STR_NONE, &house.arena, &grant, &err), E_UNAUTHENTICATED);
    CHECK_OK(govern_access_expire(house.govern, first, now - 1, STR("test"), &err), &err);
    CHECK_CODE(govern_access_find(house.govern, first, STR_NONE, &house.arena, &grant, &err), E_UNAUTHENTICATED);
    CHECK_OK(govern_access_expire(house.govern, first, 0, STR("test"), &err), &err);
    CHECK_OK(govern_access_find(house.govern, first, STR_NONE, &house.arena, &grant, &err), &err);
    CHECK_OK(govern_access_change(house.govern, first, ACCESS_REVOKE, STR("test"), &err), &err);
    CHECK_CODE(govern_access_expire(house.govern, first, 0, STR("test"), &err), E_NOT_FOUND);
    CHECK_CODE(govern_access_rotate(house.govern, first, now + hour, 0, STR("test"), &house.arena, &second,
                                    &second_secret, &err), E_NOT_FOUND);
    CHECK_CODE(govern_access_find(house.govern, first, STR_NONE, &house.arena, &grant, &err), E_UNAUTHENTICATED);
    house_done(&house);
}

TEST(access_sessions)
{
    House house = { 0 };
    Err err;
    Str secret = STR_NONE;
    AccessGrant grant = { 0 }, session = { 0 };
    SessionCredentials made = { 0 };
    Str policy = STR(
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:Get*\","
        "\"Resource\":[\"arn:aws:s3:::lake/t/*\"]}]}");
    house_open(&house);
    Str id = access_new(&house, "ann", ROLE_SCIENTIST, &secret);
    CHECK_OK(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err), &err);
    CHECK_CODE(govern_session_create(house.govern, &grant, id, STR("job"), policy, 60, &house.arena,
                                     &made, &err),
               E_INVALID);
    CHECK_OK(govern_session_create(house.govern, &grant, id, STR("job"), policy, 900, &house.arena,
                                   &made, &err),
             &err);
    CHECK_OK(govern_access_find(house.govern, made.access_key_id, made.token, &house.arena,
                                &session, &err),
             &err);
    CHECK_STR(session.secret, made.secret);
    CHECK_STR(session.session_policy, policy);
    CHECK_STR(session.principal.id, grant.principal.id);
    CHECK_CODE(govern_session_create(house.govern, &session, id, STR("job"), STR(""), 900,
                                     &house.arena, &made, &err),
               E_FORBIDDEN);
    CHECK_CODE(govern_access_find(house.govern, id, made.token, &house.arena, &session, &err),
               E_UNAUTHENTICATED); /* another key's token */
    CHECK_CODE(govern_access_find(house.govern, made.access_key_id, STR_NONE, &house.arena,
                                  &session, &err),
               E_UNAUTHENTICATED);
    char *token = (char *)(uintptr_t)made.token.ptr;
    token[40] ^= 1;
    CHECK_CODE(govern_access_find(house.govern, made.access_key_id, made.token, &house.arena,
                                  &session, &err),
               E_UNAUTHENTICATED);
    token[40] ^= 1;
    CHECK_OK(
        govern_principal_set(house.govern, STR("ann"), &(GovernRole){ ROLE_SCIENTIST }, NULL, STR("test"), &err),
        &err);
    CHECK_CODE(govern_access_find(house.govern, made.access_key_id, made.token, &house.arena,
                                  &session, &err),
               E_UNAUTHENTICATED); /* its epoch is over */
    house_done(&house);
}

TEST(access_sessions_and_keys_that_ended_stay_so_when_the_clock_is_set_back)
{
    House house = { 0 };
    Err err;
    const int64_t now_us = 1800000000000000, hour_us = 3600000000;
    Str secret = STR_NONE;
    AccessGrant grant = { 0 }, session = { 0 };
    SessionCredentials made = { .access_key_id = STR("") };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(test_seed());
    os_sim_set_now_us(sim, now_us);
    Clock *clock AUTO(clock_free) = clock_new(os_sim_os(sim), "/clock");
    house_open(&house);
    govern_clock_set(house.govern, clock);
    Str id = access_new(&house, "ann", ROLE_ENGINEER, &secret);
    CHECK_OK(govern_access_expire(house.govern, id, now_us + 2 * hour_us, STR("test"), &err), &err);
    CHECK_OK(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err), &err);
    for (int pass = 0; pass < 2; pass++) { /* the second session begins while the floor holds */
        CHECK_OK(govern_session_create(house.govern, &grant, id, STR("job"), STR(""), 900, &house.arena, &made, &err),
                 &err);
        CHECK_OK(govern_access_find(house.govern, made.access_key_id, made.token, &house.arena, &session, &err), &err);
        os_sim_set_now_us(sim, now_us + (pass + 1) * hour_us / 2);
        Str key = made.access_key_id;
        CHECK_CODE(govern_access_find(house.govern, key, made.token, &house.arena, &session, &err), E_GONE);
        os_sim_set_now_us(sim, now_us - hour_us);
        CHECK_CODE(govern_access_find(house.govern, key, made.token, &house.arena, &session, &err), E_GONE);
        CHECK_OK(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err), &err);
    }
    os_sim_set_now_us(sim, now_us + 2 * hour_us);
    CHECK_CODE(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err), E_UNAUTHENTICATED);
    os_sim_set_now_us(sim, now_us);
    CHECK_CODE(govern_access_find(house.govern, id, STR_NONE, &house.arena, &grant, &err), E_UNAUTHENTICATED);
    house_done(&house);
}

TEST(access_rights_on_buckets)
{
    static const struct {
        GovernRole role;
        const char *owner, *allowed; /* a letter a right: L R W D C X S */
    } table[] = {
        { ROLE_READER, "", "LR" },           { ROLE_READER, "me", "LR" },
        { ROLE_SCIENTIST, "", "LRC" },       { ROLE_SCIENTIST, "other", "LRC" },
        { ROLE_SCIENTIST, "me", "LRWDCXS" }, { ROLE_ENGINEER, "", "LRWDCS" },
        { ROLE_ENGINEER, "me", "LRWDCXS" },  { ROLE_ADMIN, "other", "LRWDCXS" },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        Principal principal = { STR("me"), STR("ann"), table[i].role };
        for (int right = BUCKET_LIST; right <= BUCKET_SET; right++) {
            bool wanted = strchr(table[i].allowed, "LRWDCXS"[right]) != NULL;
            if (govern_bucket_may(&principal, (BucketRight)right, str_z(table[i].owner)) != wanted)
                test_failed(__FILE__, __LINE__, "row %zu right %d", i, right);
        }
    }
}

TEST(access_session_policies)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Err err;
    Str policy = STR("{\"Version\":\"2012-10-17\",\"Statement\":["
                     "{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"S3:List*\"],"
                     "\"Resource\":\"arn:aws:s3:::l?ke*\"},"
                     "{\"Sid\":\"no\",\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"arn:aws:"
                     "s3:::lake/secret/*\"}]}");
    CHECK_OK(session_policy_check(policy, &err), &err);
    CHECK(session_policy_allows(policy, STR("s3:GetObject"), STR("arn:aws:s3:::lake/a"), &tmp));
    CHECK(session_policy_allows(policy, STR("s3:ListBucket"), STR("arn:aws:s3:::lake"), &tmp));
    CHECK(!session_policy_allows(policy, STR("s3:PutObject"), STR("arn:aws:s3:::lake/a"), &tmp));
    CHECK(!session_policy_allows(policy, STR("s3:GetObject"), STR("arn:aws:s3:::lake/secret/a"),
                                 &tmp));
    CHECK(!session_policy_allows(policy, STR("s3:GetObject"), STR("arn:aws:s3:::other/a"), &tmp));
    static const char *const refused[] = {
        "",
        "[]",
        "{}",
        "{\"Statement\":7}",
        "{\"Statement\":[{\"Effect\":\"Maybe\",\"Action\":\"*\",\"Resource\":\"*\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"NotAction\":\"*\",\"Resource\":\"*\"}]}",
        ("{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\","
         "\"Condition\":{}}]}"),
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":7,\"Resource\":\"*\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\"}]}",
        "{\"Extra\":1,\"Statement\":[]}",
        "{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*/${aws:username}\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (session_policy_check(str_z(refused[i]), &err) == E_OK)
            test_failed(__FILE__, __LINE__, "accepted %s", refused[i]);
    CHECK(!session_policy_allows(STR("nonsense"), STR("s3:GetObject"), STR("*"), &tmp));
    Buf many AUTO(buf_done); /* stars do not blow up */
    buf_init(&many, 8192);
    buf_put(&many, STR("{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\""));
    for (int i = 0; i < 500; i++)
        buf_put(&many, STR("*a"));
    buf_put(&many, STR("b\"}}"));
    Str text = str_of(
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        86);
    CHECK(!session_policy_allows(buf_str(&many), STR("s3:GetObject"), text, &tmp));
}

/* ---- changes at once ---- */

typedef struct Meanwhile {
    House *house;
    Str id;
    Thread thread;
} Meanwhile;

enum { CHANGES = 40 };

/* Each of these reads a row and writes it whole. */
static void *meanwhile_run(void *arg)
{
    Meanwhile *m = arg;
    for (int i = 0; i < CHANGES; i++) {
        Err err;
        GovernRole role = i % 2 ? ROLE_ENGINEER : ROLE_SCIENTIST;
        CHECK_OK(govern_access_expire(m->house->govern, m->id, INT64_MAX / 2 + i, STR("other"), &err), &err);
        CHECK_OK(govern_principal_set(m->house->govern, STR("ann"), &role, NULL, STR("other"), &err), &err);
    }
    return NULL;
}

TEST(access_changes_at_once_take_nothing_back)
{
    House house = { 0 };
    Err err;
    Str secret;
    MetaPrincipal *people;
    MetaAccessKey *keys;
    size_t count = 0, lost = 0;
    house_open(&house);
    Meanwhile other = { .house = &house, .id = access_new(&house, "ann", ROLE_ENGINEER, &secret) };
    CHECK_OK(thread_start(&other.thread, "other", meanwhile_run, &other, &err), &err);
    for (int i = 0; i < CHANGES; i++) {
        bool disabled = i % 2 == 0;
        CHECK_OK(govern_access_change(house.govern, other.id, disabled ? ACCESS_DISABLE : ACCESS_ENABLE, STR("test"), &err),
                 &err);
        CHECK_OK(govern_principal_set(house.govern, STR("ann"), NULL, &disabled, STR("test"), &err), &err);
        CHECK_OK(govern_access_list(house.govern, STR("ann"), &house.arena, &keys, &count, &err), &err);
        lost += (keys[0].disabled_us != 0) != disabled;
        CHECK_OK(govern_principals(house.govern, &house.arena, &people, &count, &err), &err);
        lost += (people[0].disabled_us != 0) != disabled;
    }
    thread_join(&other.thread);
    CHECK_INT(lost, 0);
    house_done(&house);
}
