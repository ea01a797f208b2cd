#include "govern/govern.h"

#include "base/test.h"

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
