/* Covers access_use.c: what a use leaves, at once and after a restart, of keys and of sessions. */
#include "govern/access.h"

#include "base/test.h"
#include "os/thread.h"

static Meta *meta_of(Arena *arena)
{
    Err err;
    Meta *meta = NULL;
    const char *path = str_format(arena, "%s/tarn.db%c", test_dir(), 0).ptr;
    CHECK_OK(meta_open(os_real(), &(MetaOptions){ .path = path }, &meta, &err), &err);
    return meta;
}

static Govern *govern_of(Meta *meta, Arena *arena)
{
    Err err;
    Govern *govern = NULL;
    CHECK_OK(govern_open(os_real(), meta, &govern, &err), &err);
    CHECK_OK(govern_master_load(govern, str_format(arena, "%s/master%c", test_dir(), 0).ptr, STR_NONE, &err), &err);
    return govern;
}

static MetaAccessKey row_of(Govern *govern, Str id, Arena *arena)
{
    Err err;
    MetaAccessKey *keys, none = { 0 };
    size_t count = 0;
    CHECK_OK(govern_access_list(govern, STR_NONE, arena, &keys, &count, &err), &err);
    for (size_t i = 0; i < count; i++)
        if (str_eq(keys[i].id, id))
            return keys[i];
    return none;
}

TEST(access_use_is_seen_at_once_and_survives)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    MetaPrincipal principal;
    AccessGrant grant;
    SessionCredentials session;
    Str id, secret, other, other_secret;
    Meta *meta = meta_of(&arena);
    Govern *govern = govern_of(meta, &arena);
    int64_t before_us = os_now_us(os_real());
    CHECK_OK(govern_principal_create(govern, STR("app"), ROLE_ENGINEER, STR("t"), &arena, &principal, &err), &err);
    CHECK_OK(govern_access_create(govern, STR("app"), 0, STR("t"), &arena, &id, &secret, &err), &err);
    CHECK_OK(govern_access_create(govern, STR("app"), 0, STR("t"), &arena, &other, &other_secret, &err), &err);
    CHECK_INT(row_of(govern, id, &arena).used_us, 0);
    CHECK_OK(govern_access_find(govern, id, STR_NONE, &arena, &grant, &err), &err);
    CHECK_STR(grant.key_id, id);
    CHECK_INT(row_of(govern, id, &arena).used_us, 0); /* asked for, not proven */
    CHECK_OK(govern_session_create(govern, &grant, id, STR("job"), STR_NONE, 900, &arena, &session, &err), &err);
    CHECK_OK(govern_access_find(govern, session.access_key_id, session.token, &arena, &grant, &err), &err);
    CHECK_STR(grant.key_id, id); /* a session is a use of the key that began it */
    govern_access_used(govern, grant.key_id, STR("s3"), STR("us-east-1"));
    govern_access_used(govern, grant.key_id, STR("sts"), STR("a region whose name is much too long to keep"));
    govern_access_used(govern, STR(""), STR("s3"), STR("us-east-1"));
    MetaAccessKey row = row_of(govern, id, &arena);
    CHECK(row.used_us > before_us - 60000000 && row.used_us <= os_now_us(os_real()) && row.used_us % 60000000 == 0);
    CHECK(row.used_service.len > 0 && row.used_region.len > 0);
    CHECK_INT(row_of(govern, other, &arena).used_us, 0);
    CHECK_OK(govern_access_flush(govern, &err), &err);
    CHECK_OK(govern_access_flush(govern, &err), &err); /* nothing is new */
    govern_free(&govern);
    meta_free(&meta);
    meta = meta_of(&arena);
    govern = govern_of(meta, &arena);
    MetaAccessKey again = row_of(govern, id, &arena);
    CHECK_INT(again.used_us, row.used_us);
    CHECK_STR(again.used_service, row.used_service);
    CHECK_INT(row_of(govern, other, &arena).used_us, 0);
    govern_free(&govern);
    meta_free(&meta);
}

static void *use_run(void *arg)
{
    Govern *govern = arg;
    char id[] = "TARNAAAAAAAAAAAAAAAA";
    for (int i = 0; i < 20000; i++) {
        id[4] = (char)('A' + i % 16);
        govern_access_used(govern, str_z(id), STR("s3"), STR("eu-west-1"));
    }
    return NULL;
}

TEST(access_use_from_many_threads)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Meta *meta = meta_of(&arena);
    Govern *govern = govern_of(meta, &arena);
    Thread threads[4];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        CHECK_OK(thread_start(&threads[i], "use", use_run, govern, &err), &err);
    CHECK_OK(govern_access_flush(govern, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        thread_join(&threads[i]);
    CHECK_OK(govern_access_flush(govern, &err), &err); /* keys that are not there are no error */
    govern_free(&govern);
    meta_free(&meta);
}
