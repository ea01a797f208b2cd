/* Covers rest.c, rest_access.c, rest_backup.c (with tests/e2e/test_backup.py), rest_catalog.c, rest_house.c, rest_ingest.c, rest_once.c, rest_rows.c, rest_trash.c. */
#include "api/api_fake.h"
#include "front/http/http_fake.h"
#include "front/rest/rest_priv.h"
#include "govern/access.h"

#include <string.h>

typedef struct Door {
    FakeLake lake;
    RestServer *rest;
    Fake raw; /* only its address is used */
    Arena arena;
} Door;

static void door_open(Door *door)
{
    Err err;
    *door = (Door){ 0 };
    fake_lake_open(&door->lake);
    RestOptions options = { .lake = &door->lake.lake, .listen = STR("127.0.0.1:0"), .loops = 1,
                            .io_workers = 2, .query_workers = 2 };
    CHECK_OK(rest_start(&options, &door->rest, &err), &err);
    CHECK_OK(net_address_parse(rest_address(door->rest), &door->raw.address, &err), &err);
}

static void door_close(Door *door)
{
    rest_free(&door->rest);
    fake_lake_close(&door->lake);
    arena_done(&door->arena);
}

/* "GET /x", more fields, a body. */
static Str ask_as(Door *door, Str key, const char *line, const char *fields, Str body)
{
    Str text = str_format(&door->arena, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                          "Authorization: Bearer " STR_FMT "\r\n%sContent-Length: %zu\r\n\r\n" STR_FMT,
                          line, STR_ARG(key), fields, body.len, STR_ARG(body));
    return fake_ask(&door->raw, text, &door->arena);
}

static Str ask(Door *door, const char *line, const char *fields, const char *body)
{
    return ask_as(door, door->lake.admin_key, line, fields, str_z(body));
}

#define WANT(reply, status, part)                                                                  \
    do {                                                                                           \
        Str reply_ = (reply);                                                                      \
        if (fake_status(reply_) != (status) || str_find(reply_, str_z(part)) < 0)                  \
            test_failed(__FILE__, __LINE__, "wanted %d with '%s', got " STR_FMT, status, part,     \
                        STR_ARG(str_sub(reply_, 0, 1500)));                                        \
    } while (0)

TEST(rest_house)
{
    Door door;
    door_open(&door);
    WANT(fake_ask(&door.raw, STR("GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), &door.arena),
         200, "\"status\":\"ok\"");
    WANT(fake_ask(&door.raw, STR("GET /v1/datasets HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), &door.arena),
         401, "\"code\":\"UNAUTHENTICATED\"");
    WANT(ask(&door, "GET /livez", "", ""), 200, "ok");
    WANT(ask(&door, "GET /readyz", "", ""), 200, "ok");
    WANT(ask(&door, "GET /metrics", "", ""), 200, "tarn_http_requests_total{route=\"health\",code=\"2xx\"} 1");
    Str openapi = ask(&door, "GET /v1/openapi.json", "", "");
    const Json *root;
    Err err;
    CHECK_OK(json_parse(&door.arena, fake_body(openapi), NULL, &root, &err), &err);
    const Json *paths = json_get(root, "paths");
    CHECK(json_get(json_get(paths, "/v1/objects/{bucket}/{key}"), "get") != NULL);
    CHECK(json_get(json_get(paths, "/v1/runs"), "post") != NULL);
    door_close(&door);
}

TEST(rest_sql_in_four_formats)
{
    Door door;
    door_open(&door);
    Str json = ask(&door, "POST /v1/sql", "", "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL ORDER BY 1");
    WANT(json, 200, "\"columns\":[{\"name\":\"a\",\"type\":\"INTEGER\"},{\"name\":\"b\",\"type\":\"VARCHAR\"}]");
    WANT(json, 200, "[1,\"x\"],\n[2,null]],\"row_count\":2");
    const Json *root;
    Err err;
    CHECK_OK(json_parse(&door.arena, fake_body(json), NULL, &root, &err), &err);
    WANT(ask(&door, "POST /v1/sql", "Accept: application/x-ndjson\r\n", "SELECT 1 AS a"), 200, "{\"a\":1}\n");
    WANT(ask(&door, "POST /v1/sql", "Accept: text/csv\r\n", "SELECT 1 AS a, 'x,y' AS b"), 200, "\"x,y\"");
    Str arrow = ask(&door, "POST /v1/sql", "Accept: application/vnd.apache.arrow.stream\r\n",
                    "SELECT i FROM range(100000) r(i)");
    ArrowIpcReader *reader = NULL;
    CHECK_INT(fake_status(arrow), 200);
    CHECK_OK(arrow_ipc_reader_new(&reader, &err), &err);
    arrow_ipc_reader_free(&reader);
    WANT(ask(&door, "POST /v1/sql", "Accept: image/png\r\n", "SELECT 1"), 406, "Accept");
    WANT(ask(&door, "POST /v1/sql", "Content-Type: application/json\r\n",
             "{\"sql\":\"SELECT $x + 1 AS a\",\"params\":{\"x\":41}}"), 200, "[42]");
    WANT(ask(&door, "POST /v1/sql", "Content-Type: application/json\r\n",
             "{\"sql\":\"SELECT $1 AS a\",\"params\":[\"t\"]}"), 200, "[\"t\"]");
    WANT(ask(&door, "POST /v1/sql", "", "SELECT 1,\n  nothere"), 404, "\"line\":2,\"column\":3");
    WANT(ask(&door, "POST /v1/sql", "", ""), 400, "problem+json");
    WANT(ask_as(&door, door.lake.reader_key, "POST /v1/sql", "", STR("CREATE NAMESPACE q")), 403, "FORBIDDEN");
    door_close(&door);
}

TEST(rest_datasets_and_pages)
{
    Door door;
    door_open(&door);
    fake_lake_sql(&door.lake, "CREATE NAMESPACE t");
    fake_lake_sql(&door.lake, "CREATE TABLE t.n AS SELECT i, 'v' || i AS v FROM range(25) r(i)");
    WANT(ask(&door, "GET /v1/datasets", "", ""), 200, "\"namespace\":\"t\",\"name\":\"n\",\"kind\":\"table\",\"rows\":25");
    WANT(ask(&door, "GET /v1/datasets/t.n", "", ""), 200, "\"columns\":[{\"name\":\"i\",\"type\":\"BIGINT\"");
    WANT(ask(&door, "GET /v1/datasets/t.n/schema", "", ""), 200, "\"VARCHAR\"");
    WANT(ask(&door, "GET /v1/datasets/t.n/preview?limit=2", "", ""), 200, "\"row_count\":2");
    WANT(ask(&door, "GET /v1/datasets/t.nn", "", ""), 404, "NOT_FOUND");
    WANT(ask(&door, "GET /v1/datasets/t", "", ""), 400, "NAMESPACE.NAME");
    Str page = ask(&door, "GET /v1/datasets/t.n/query?select=v&where=i+%3E+3&order=-i&limit=10", "", "");
    WANT(page, 200, "[\"v24\"]");
    WANT(page, 200, "rel=\"next\"");
    const Json *root;
    Err err;
    CHECK_OK(json_parse(&door.arena, fake_body(page), NULL, &root, &err), &err);
    Str cursor = json_str(json_get(root, "next_cursor"));
    Str line = str_format(&door.arena, "GET /v1/datasets/t.n/query?select=v&where=i+%%3E+3&order=-i&limit=20"
                          "&cursor=" STR_FMT, STR_ARG(cursor));
    page = ask(&door, str_copy_z(&door.arena, line), "", "");
    WANT(page, 200, "\"rows\":[\n[\"v14\"]");
    WANT(page, 200, "\"row_count\":11");
    WANT(page, 200, "\"next_cursor\":null");
    WANT(ask(&door, "GET /v1/datasets/t.n/query?where=nothere%3D1", "", ""), 400, "\"offset\":0");
    WANT(ask(&door, "GET /v1/datasets/t.n/query?limit=x", "", ""), 400, "?limit=");
    WANT(ask(&door, "GET /v1/datasets/t.n/query?limit=3", "Accept: text/csv\r\n", ""), 200, "i,v\r\n0,v0\r\n");
    door_close(&door);
}

TEST(rest_ingest_and_objects)
{
    Door door;
    door_open(&door);
    Str one = ask(&door, "POST /v1/ingest?source=skies&name=a.csv", "", "x,y\n1,2\n");
    WANT(one, 200, "\"address\":\"s3://bronze/skies/ingest_date=");
    WANT(ask(&door, "POST /v1/ingest?source=skies&name=a.csv", "", "x,y\n1,2\n"), 200, "\"duplicate\":true");
    WANT(ask(&door, "POST /v1/ingest?name=a.csv", "", "x"), 400, "source");
    WANT(ask(&door, "POST /v1/ingest?source=skies", "Content-Type: application/x-ndjson\r\n",
             "{\"a\":1}\n{\"a\":2}\n"), 200, "\"rows\":2");
    WANT(ask(&door, "POST /v1/ingest?source=skies", "Content-Type: application/x-ndjson\r\n", "{\"a\":1}\n7\n"),
         400, "problem+json");
    WANT(ask(&door, "POST /v1/ingest?source=skies", "Content-Type: multipart/form-data; boundary=b\r\n",
             "--b\r\nContent-Disposition: form-data; name=f; filename=f.csv\r\n\r\nq\n1\n\r\n--b--\r\n"),
         200, "{\"items\":[{\"address\":");
    WANT(ask_as(&door, door.lake.reader_key, "POST /v1/ingest?source=s&name=n", "", STR("x")), 403, "FORBIDDEN");
    const Json *root;
    Err err;
    CHECK_OK(json_parse(&door.arena, fake_body(one), NULL, &root, &err), &err);
    Str path = str_from(json_str(json_get(root, "address")), 5);
    const char *get = str_copy_z(&door.arena, str_format(&door.arena, "GET /v1/objects/" STR_FMT, STR_ARG(path)));
    const char *head = str_copy_z(&door.arena, str_format(&door.arena, "HEAD /v1/objects/" STR_FMT, STR_ARG(path)));
    Str got = ask(&door, get, "", "");
    WANT(got, 200, "ETag: \"");
    CHECK_STR(fake_body(got), STR("x,y\n1,2\n"));
    WANT(ask(&door, head, "", ""), 200, "Content-Length: 8");
    Str part = ask(&door, get, "Range: bytes=4-6\r\n", "");
    WANT(part, 206, "Content-Range: bytes 4-6/8");
    CHECK_STR(fake_body(part), STR("1,2"));
    WANT(ask(&door, get, "If-None-Match: *\r\n", ""), 304, "ETag");
    WANT(ask(&door, "GET /v1/objects/bronze/nothing", "", ""), 404, "NOT_FOUND");
    WANT(ask(&door, "GET /v1/objects/nobucket", "", ""), 404, "NOT_FOUND");
    WANT(ask(&door, "GET /v1/objects/bronze?prefix=skies/&limit=1", "", ""), 200, "\"next_cursor\":\"skies/");
    WANT(ask(&door, "GET /v1/objects", "", ""), 200, "\"name\":\"bronze\"");
    WANT(ask(&door, "POST /v1/sql", "", "SELECT count(*) AS n FROM bronze.objects"), 200, "[3]");
    door_close(&door);
}

TEST(rest_trash)
{
    Door door;
    door_open(&door);
    Err err;
    Store *store = door.lake.lake.store;
    StorePut put = { .bucket = STR("bronze"), .key = STR("a b") };
    CHECK_OK(store_put(store, &put, STR("one"), NULL, &err), &err);
    CHECK_OK(store_put(store, &put, STR("two!"), NULL, &err), &err);
    WANT(ask(&door, "POST /v1/trash/bronze?key=a%20b", "", ""), 409, "CONFLICT");
    CHECK_OK(store_delete(store, STR("bronze"), STR("a b"), &err), &err);
    Str page = ask(&door, "GET /v1/trash/bronze?limit=1", "", "");
    WANT(page, 200, "\"size_bytes\":4");
    const Json *root;
    CHECK_OK(json_parse(&door.arena, fake_body(page), NULL, &root, &err), &err);
    Str cursor = json_str(json_get(root, "next_cursor"));
    CHECK(str_ends(cursor, STR("a b")));
    const char *next = str_copy_z(&door.arena, str_format(&door.arena, "GET /v1/trash/bronze?cursor=" STR_FMT "%%20b",
                                                          STR_ARG(str_sub(cursor, 0, cursor.len - 2))));
    page = ask(&door, next, "", "");
    WANT(page, 200, "\"size_bytes\":3");
    CHECK(str_find(page, STR("\"next_cursor\":null")) >= 0);
    CHECK_OK(json_parse(&door.arena, fake_body(page), NULL, &root, &err), &err);
    JsonIter items = json_iter(json_get(root, "items"));
    CHECK(json_next(&items));
    const char *one = str_copy_z(&door.arena, str_format(&door.arena, "POST /v1/trash/bronze?key=a%%20b&version=" STR_FMT,
                                                         STR_ARG(json_str(json_get(items.value, "version")))));
    WANT(ask_as(&door, door.lake.reader_key, one, "", STR("")), 403, "FORBIDDEN");
    WANT(ask(&door, "POST /v1/trash/bronze?key=a%20b&version=7", "", ""), 400, "no version");
    WANT(ask(&door, one, "", ""), 201, "\"size_bytes\":3");
    WANT(ask(&door, one, "", ""), 404, "NOT_FOUND");
    WANT(ask(&door, "GET /v1/objects/bronze/a%20b", "", ""), 200, "one");
    WANT(ask(&door, "GET /v1/trash/nobucket-here", "", ""), 404, "tarn bucket ls");
    WANT(ask(&door, "POST /v1/trash/nobucket-here?key=k", "", ""), 404, "NOT_FOUND");
    WANT(ask(&door, "POST /v1/sql", "", "SELECT count(*) AS n FROM tarn.audit WHERE verb = 'object.undelete'"), 200,
         "[1]");
    door_close(&door);
}

TEST(rest_idempotency_key)
{
    Door door;
    door_open(&door);
    const char *fields = "Idempotency-Key: one\r\n";
    WANT(ask(&door, "POST /v1/sql", fields, "CREATE NAMESPACE once"), 200, "statement");
    WANT(ask(&door, "POST /v1/sql", fields, "CREATE NAMESPACE once"), 200, "Idempotency-Replayed: true");
    WANT(ask(&door, "POST /v1/sql", "", "CREATE NAMESPACE once"), 409, "EXISTS");
    WANT(ask(&door, "POST /v1/sql", fields, "CREATE NAMESPACE other"), 422, "another request");
    fields = "Idempotency-Key: up\r\n";
    WANT(ask(&door, "POST /v1/ingest?source=s&name=n", fields, "bytes"), 200, "\"duplicate\":false");
    WANT(ask(&door, "POST /v1/ingest?source=s&name=n", fields, "bytes"), 200, "\"duplicate\":false");
    WANT(ask(&door, "POST /v1/ingest?source=s&name=other", fields, "bytes"), 422, "another request");
    door_close(&door);
}

TEST(rest_keys_and_models)
{
    Door door;
    door_open(&door);
    Str made = ask(&door, "POST /v1/keys", "", "{\"name\":\"k\",\"role\":\"reader\"}");
    WANT(made, 201, "\"key\":\"tarn_");
    WANT(ask(&door, "POST /v1/keys", "", "{\"name\":\"k2\",\"role\":\"king\"}"), 400, "data_engineer and admin");
    WANT(ask(&door, "POST /v1/keys", "", "{"), 400, "SYNTAX");
    const Json *root;
    Err err;
    CHECK_OK(json_parse(&door.arena, fake_body(made), NULL, &root, &err), &err);
    Str id = json_str(json_get(root, "id")), key = json_str(json_get(root, "key"));
    WANT(ask_as(&door, key, "GET /v1/models", "", STR("")), 200, "\"items\":[]");
    WANT(ask_as(&door, key, "GET /v1/keys", "", STR("")), 403, "FORBIDDEN");
    Str line = str_format(&door.arena, "DELETE /v1/keys/" STR_FMT, STR_ARG(id));
    WANT(ask(&door, str_copy_z(&door.arena, line), "", ""), 200, "revoked");
    WANT(ask_as(&door, key, "GET /v1/models", "", STR("")), 401, "UNAUTHENTICATED");
    WANT(ask(&door, "POST /v1/models", "", "{\"files\":7}"), 400, "INVALID");
    WANT(ask(&door, "GET /v1/runs", "", ""), 200, "\"items\":[]");
    WANT(ask(&door, "GET /v1/runs/none", "", ""), 404, "NOT_FOUND");
    WANT(ask(&door, "POST /v1/runs", "", ""), 200, "\"state\":\"nothing\"");
    door_close(&door);
}

/* The text of a field of a reply's JSON. */
static Str field_of(Door *door, Str reply, const char *name)
{
    const Json *root = NULL;
    Err err;
    CHECK_OK(json_parse(&door->arena, fake_body(reply), NULL, &root, &err), &err);
    return str_copy(&door->arena, json_str(json_get(root, name)));
}

static Str ask_of(Door *door, const char *front, Str id, const char *back, const char *body)
{
    Str line = str_format(&door->arena, "%s" STR_FMT "%s", front, STR_ARG(id), back);
    return ask(door, str_copy_z(&door->arena, line), "", body);
}

TEST(rest_principals_and_access_keys)
{
    Door door;
    Err err;
    AccessGrant grant;
    door_open(&door);
    Govern *govern = door.lake.lake.govern;
    CHECK_OK(govern_master_load(govern, "", STR("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
                                &err), &err);
    WANT(ask(&door, "POST /v1/principals", "", "{\"name\":\"ann\",\"role\":\"data_engineer\"}"), 201, "\"data_engineer\"");
    WANT(ask(&door, "POST /v1/principals", "", "{\"name\":\"ann\"}"), 409, "EXISTS");
    WANT(ask(&door, "POST /v1/principals", "", "{\"name\":\"bob\",\"role\":\"boss\"}"), 400, "data_scientist");
    WANT(ask_as(&door, door.lake.reader_key, "GET /v1/principals", "", STR("")), 403, "FORBIDDEN");
    WANT(ask_as(&door, door.lake.reader_key, "GET /v1/access-keys", "", STR("")), 403, "FORBIDDEN");
    WANT(ask(&door, "POST /v1/access-keys", "", "{\"principal\":\"bob\"}"), 404, "bob");
    WANT(ask(&door, "POST /v1/access-keys", "", "{\"principal\":\"ann\",\"expires\":\"soon\"}"), 400, "no time");
    WANT(ask(&door, "POST /v1/access-keys", "", "{\"principal\":\"ann\",\"expires_s\":\"1h\"}"), 400, "expires_s");
    WANT(ask(&door, "POST /v1/access-keys", "", "{\"principal\":\"ann\",\"expires_s\":-1}"), 400, "seconds from now");
    WANT(ask(&door, "POST /v1/access-keys", "", "{\"principal\":\"ann\",\"expires_s\":9,\"expires\":null}"), 400, "two answers");
    WANT(ask(&door, "POST /v1/keys", "", "{\"name\":\"k\",\"expires_s\":3153600001}"), 400, "seconds from now"); /* a second more than 36,500 days */
    WANT(ask(&door, "POST /v1/keys", "", "{\"name\":\"k\",\"expires_s\":3600,\"role\":null}"), 201, "\"expires\":\"2");
    WANT(ask(&door, "POST /v1/access-keys", "Idempotency-Key: k\r\n", "{\"principal\":\"ann\"}"), 501, "UNSUPPORTED");
    Str made = ask(&door, "POST /v1/access-keys", "", "{\"principal\":\"ann\"}");
    WANT(made, 201, "Cache-Control: no-store");
    Str id = field_of(&door, made, "id"), secret = field_of(&door, made, "secret");
    CHECK_OK(govern_access_find(govern, id, STR_NONE, &door.arena, &grant, &err), &err);
    CHECK_STR(grant.secret, secret);
    Str list = ask(&door, "GET /v1/access-keys?principal=ann", "", "");
    WANT(list, 200, "\"state\":\"active\"");
    CHECK(str_find(list, secret) < 0);
    Str next = ask_of(&door, "POST /v1/access-keys/", id, "/rotate", "{\"overlap_s\":0}");
    WANT(next, 201, "secret");
    CHECK_CODE(govern_access_find(govern, id, STR_NONE, &door.arena, &grant, &err), E_UNAUTHENTICATED);
    Str second = field_of(&door, next, "id");
    WANT(ask_of(&door, "POST /v1/access-keys/", second, "/rotate", "{\"overlap_s\":-1}"), 400, "INVALID");
    WANT(ask_of(&door, "POST /v1/access-keys/", second, "", "{\"disabled\":true}"), 200, "changed");
    CHECK_CODE(govern_access_find(govern, second, STR_NONE, &door.arena, &grant, &err), E_UNAUTHENTICATED);
    WANT(ask_of(&door, "POST /v1/access-keys/", second, "", "{\"disabled\":false,\"expires\":null}"), 200, "changed");
    CHECK_OK(govern_access_find(govern, second, STR_NONE, &door.arena, &grant, &err), &err);
    WANT(ask_of(&door, "POST /v1/access-keys/", second, "", "{}"), 400, "nothing is to be changed");
    WANT(ask(&door, "POST /v1/principals/ann", "", "{\"role\":\"data_viewer\",\"disabled\":true}"), 200, "data_viewer");
    CHECK_CODE(govern_access_find(govern, second, STR_NONE, &door.arena, &grant, &err), E_UNAUTHENTICATED);
    WANT(ask(&door, "POST /v1/principals/ann", "", "{\"disabled\":false}"), 200, "\"disabled\":null");
    WANT(ask_of(&door, "DELETE /v1/access-keys/", second, "", ""), 200, "revoked");
    CHECK_CODE(govern_access_find(govern, second, STR_NONE, &door.arena, &grant, &err), E_UNAUTHENTICATED);
    WANT(ask_of(&door, "POST /v1/access-keys/", second, "", "{\"disabled\":false}"), 404, "NOT_FOUND");
    WANT(ask(&door, "POST /v1/principals/nobody", "", "{\"role\":\"admin\"}"), 404, "nobody");
    WANT(ask(&door, "POST /v1/sql", "", "SELECT count(*) AS n FROM tarn.audit WHERE verb = 'access.rotate'"), 200, "[1]");
    door_close(&door);
}

TEST(rest_a_run_from_model_to_rows)
{
    Door door;
    door_open(&door);
    WANT(ask(&door, "POST /v1/models", "",
             "{\"files\":[{\"path\":\"models/silver.n.sql\",\"text\":\"MODEL (name silver.n, kind FULL);"
             " SELECT CAST(i AS BIGINT) AS i FROM range(5) r(i)\"}]}"), 200, "silver.n");
    WANT(ask(&door, "POST /v1/plan", "", ""), 200, "\"model\":\"silver.n\"");
    Str started = ask(&door, "POST /v1/runs", "", "{}");
    WANT(started, 202, "\"state\":\"running\"");
    const Json *root;
    Err err;
    CHECK_OK(json_parse(&door.arena, fake_body(started), NULL, &root, &err), &err);
    Str line = str_format(&door.arena, "GET /v1/runs/" STR_FMT "/events", STR_ARG(json_str(json_get(root, "run_id"))));
    Str events = ask(&door, str_copy_z(&door.arena, line), "Accept: application/x-ndjson\r\n", "");
    WANT(events, 200, "\"event\":\"end\"");
    WANT(events, 200, "\"state\":\"published\"");
    WANT(ask(&door, str_copy_z(&door.arena, line), "", ""), 200, "data: {\"event\":\"progress\"");
    WANT(ask(&door, "POST /v1/sql", "", "SELECT sum(i) AS s FROM silver.n"), 200, "10");
    Str run = str_format(&door.arena, "/v1/runs/" STR_FMT, STR_ARG(json_str(json_get(root, "run_id"))));
    WANT(ask(&door, str_copy_z(&door.arena, str_format(&door.arena, "GET " STR_FMT, STR_ARG(run))), "", ""),
         200, "\"published\"");
    WANT(ask(&door, str_copy_z(&door.arena, str_format(&door.arena, "DELETE " STR_FMT, STR_ARG(run))), "", ""),
         404, "is going on");
    WANT(ask(&door, "GET /v1/runs", "", ""), 200, "\"state\":\"published\"");
    WANT(ask(&door, "POST /v1/runs", "", ""), 200, "nothing");
    door_close(&door);
}
