#include "govern/govern.h"

#include "base/test.h"
#include "os/os_sim.h"

#include <stdio.h>
#include <string.h>

typedef struct House {
    Meta *meta;
    Govern *govern;
    Arena arena;
} House;

static House house_new(void)
{
    Err err;
    House house = { 0 };
    const char *path = str_copy_z(&house.arena, str_format(&house.arena, "%s/tarn.db", test_dir()));
    CHECK_OK(meta_open(os_real(), &(MetaOptions){ .path = path }, &house.meta, &err), &err);
    CHECK_OK(govern_open(os_real(), house.meta, &house.govern, &err), &err);
    return house;
}

static void house_done(House *house)
{
    govern_free(&house->govern);
    meta_free(&house->meta);
    arena_done(&house->arena);
}

static Str key_new(House *house, const char *name, GovernRole role, int64_t expires_us, Str *ret_id)
{
    Err err;
    Str secret = STR_NONE;
    KeyCreate create = { str_z(name), role, expires_us, STR("test") };
    CHECK_OK(govern_key_create(house->govern, &create, &house->arena, ret_id, &secret, &err), &err);
    return secret;
}

TEST(govern_only_a_whole_live_key_opens)
{
    Err err;
    House house AUTO(house_done) = house_new();
    Principal principal;
    Str id, old_id;
    Str secret = key_new(&house, "ann", ROLE_ADMIN, 0, &id);
    Str old = key_new(&house, "old", ROLE_ADMIN, 1, &old_id);
    CHECK_OK(govern_authenticate(house.govern, secret, &house.arena, &principal, &err), &err);
    CHECK_STR(principal.name, STR("ann"));
    CHECK_INT(principal.role, ROLE_ADMIN);
    const Str bad[] = { STR_NONE, STR("tarn_"), str_sub(secret, 0, secret.len - 1), str_from(secret, 5), old };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_CODE(govern_authenticate(house.govern, bad[i], &house.arena, &principal, &err), E_UNAUTHENTICATED);
    CHECK_OK(govern_key_revoke(house.govern, id, STR("test"), &err), &err);
    CHECK_CODE(govern_authenticate(house.govern, secret, &house.arena, &principal, &err), E_UNAUTHENTICATED);
    CHECK(strstr(err.hint, "tarn key create"));
}

TEST(govern_what_ended_stays_ended_when_the_clock_is_set_back)
{
    Err err;
    const int64_t now_us = 1800000000000000, hour_us = 3600000000;
    House house AUTO(house_done) = house_new();
    OsSim *sim AUTO(os_sim_free) = os_sim_new(test_seed());
    Clock *clock AUTO(clock_free) = NULL;
    Principal principal;
    Str id;
    os_sim_set_now_us(sim, now_us);
    clock = clock_new(os_sim_os(sim), "/clock");
    govern_clock_set(house.govern, clock);
    Str secret = key_new(&house, "ann", ROLE_ADMIN, now_us + hour_us, &id);
    CHECK_OK(govern_authenticate(house.govern, secret, &house.arena, &principal, &err), &err);
    os_sim_set_now_us(sim, now_us - hour_us);
    CHECK_OK(govern_authenticate(house.govern, secret, &house.arena, &principal, &err), &err);
    os_sim_set_now_us(sim, now_us + hour_us);
    CHECK_CODE(govern_authenticate(house.govern, secret, &house.arena, &principal, &err), E_UNAUTHENTICATED);
    os_sim_set_now_us(sim, now_us - hour_us);
    CHECK_CODE(govern_authenticate(house.govern, secret, &house.arena, &principal, &err), E_UNAUTHENTICATED);
    CHECK(govern_now_us(house.govern) >= now_us + hour_us);
    govern_clock_set(house.govern, NULL); /* by the machine's clock alone it would be good: the test can fail */
    CHECK(os_now_us(os_sim_os(sim)) < now_us + hour_us);
}

TEST(govern_readers_only_read)
{
    Err err;
    Principal reader = { STR("1"), STR("bob"), ROLE_READER };
    CHECK_OK(govern_check(&reader, RIGHT_READ, STR("gold.daily"), &err), &err);
    CHECK_CODE(govern_check(&reader, RIGHT_WRITE, STR("gold.daily"), &err), E_FORBIDDEN);
    CHECK(strstr(err.text, "gold.daily") && strstr(err.text, "bob"));
    CHECK_CODE(govern_check(&reader, RIGHT_ADMIN, STR("keys"), &err), E_FORBIDDEN);
}

TEST(govern_a_name_is_taken_until_it_is_revoked)
{
    Err err;
    House house AUTO(house_done) = house_new();
    Str id, secret;
    key_new(&house, "ann", ROLE_READER, 0, &id);
    KeyCreate create = { STR("ann"), ROLE_READER, 0, STR("test") };
    CHECK_CODE(govern_key_create(house.govern, &create, &house.arena, &id, &secret, &err), E_EXISTS);
    MetaKey *keys = NULL;
    size_t count = 0;
    CHECK_OK(govern_key_list(house.govern, &house.arena, &keys, &count, &err), &err);
    CHECK_INT(count, 1);
    CHECK_INT(keys[0].secret_sha256.len, 32);
    CHECK_OK(govern_key_revoke(house.govern, keys[0].id, STR("test"), &err), &err);
    CHECK_OK(govern_key_create(house.govern, &create, &house.arena, &id, &secret, &err), &err);
    create.name = STR("");
    CHECK_CODE(govern_key_create(house.govern, &create, &house.arena, &id, &secret, &err), E_INVALID);
}

/* A refused change leaves no audit row, a change that was made has one. */
TEST(govern_changes_and_their_audit_are_one)
{
    Err err;
    House house AUTO(house_done) = house_new();
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaAudit *rows = NULL;
    size_t count = 0;
    Str id, secret;
    key_new(&house, "ann", ROLE_READER, 0, &id);
    KeyCreate again = { STR("ann"), ROLE_READER, 0, STR("test") };
    CHECK_CODE(govern_key_create(house.govern, &again, &house.arena, &secret, &secret, &err), E_EXISTS);
    CHECK_OK(govern_key_revoke(house.govern, id, STR("carl"), &err), &err);
    CHECK_OK(govern_key_revoke(house.govern, id, STR("carl"), &err), &err); /* is revoked already */
    CHECK_CODE(govern_key_revoke(house.govern, STR("nobody"), STR("carl"), &err), E_NOT_FOUND);
    CHECK_OK(meta_read_begin(house.meta, &read, &err), &err);
    CHECK_OK(meta_list_audit(read, 0, 0, &house.arena, &rows, &count, &err), &err);
    CHECK_INT(count, 2);
    CHECK_STR(rows[0].verb, STR("key.create"));
    CHECK_STR(rows[1].verb, STR("key.revoke"));
    CHECK_STR(rows[1].principal, STR("carl"));
    CHECK_STR(rows[1].target, STR("ann"));
    CHECK(rows[1].time_us >= rows[0].time_us);
}

TEST(govern_secrets_are_not_kept)
{
    Err err;
    House house AUTO(house_done) = house_new();
    Str id;
    Str secret = key_new(&house, "ann", ROLE_READER, 0, &id);
    Buf bytes AUTO(buf_done);
    buf_init(&bytes, 16 << 20);
    meta_free(&house.meta); /* moves the log into the file */
    const char *path = str_copy_z(&house.arena, str_format(&house.arena, "%s/tarn.db", test_dir()));
    CHECK_OK(os_read_whole(os_real(), path, &bytes, &err), &err);
    CHECK(str_find(buf_str(&bytes), STR("ann")) >= 0);
    CHECK(str_find(buf_str(&bytes), str_from(secret, 5)) < 0);
    Str raw;
    CHECK(hex_parse(&house.arena, str_from(secret, 5), &raw));
    CHECK(str_find(buf_str(&bytes), raw) < 0);
}

TEST(govern_roles_and_rights)
{
    static const struct {
        GovernRole role;
        GovernRight right;
        bool may;
    } table[] = {
        { ROLE_READER, RIGHT_READ, true },  { ROLE_READER, RIGHT_WRITE, false },
        { ROLE_READER, RIGHT_ADMIN, false }, { ROLE_ADMIN, RIGHT_READ, true },
        { ROLE_ADMIN, RIGHT_WRITE, true },  { ROLE_ADMIN, RIGHT_ADMIN, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        CHECK_INT(govern_role_may(table[i].role, table[i].right), table[i].may);
    GovernRole role = ROLE_READER;
    CHECK(govern_role_parse(govern_role_name(ROLE_ADMIN), &role));
    CHECK_INT(role, ROLE_ADMIN);
    CHECK(!govern_role_parse(STR("Admin"), &role) && !govern_role_parse(STR_NONE, &role));
    CHECK_INT(role, ROLE_ADMIN);
}

TEST(govern_policies_are_empty_yet)
{
    Err err;
    House house AUTO(house_done) = house_new();
    Principal reader = { STR("1"), STR("bob"), ROLE_READER };
    PolicyExpr policy = { .mask_count = 9 };
    CHECK_OK(govern_policy(house.govern, &reader, STR("gold"), STR("t"), &house.arena, &policy, &err), &err);
    CHECK(policy.row_filter.len == 0 && policy.mask_count == 0);
}
