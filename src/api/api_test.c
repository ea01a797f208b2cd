/* Covers api.c, api_access.c (with rest_test.c of front), api_backup.c (with tests/e2e/test_backup.py), api_dataset.c, api_flow.c (with rest_test.c of front), api_idempotency.c, api_object.c (with tests/s3), api_query.c. */
#include "api/api_fake.h"

#include "base/test.h"
#include "format/arrow.h"

#include <string.h>

TEST(api_rights)
{
    FakeLake fake;
    Err err;
    fake_lake_open(&fake);
    ApiCall call = { .lake = &fake.lake, .arena = &fake.arena };
    CHECK_CODE(api_enter(&call, STR_NONE, API_READ, STR("x"), &err), E_UNAUTHENTICATED);
    CHECK_CODE(api_enter(&call, STR("tarn_nonsense"), API_READ, STR("x"), &err), E_UNAUTHENTICATED);
    CHECK_CODE(api_enter(&call, fake.reader_key, API_WRITE, STR("x"), &err), E_FORBIDDEN);
    CHECK_CODE(api_enter(&call, fake.reader_key, API_ADMIN, STR("x"), &err), E_FORBIDDEN);
    CHECK_OK(api_enter(&call, fake.reader_key, API_READ, STR("x"), &err), &err);
    CHECK_OK(api_enter(&call, fake.admin_key, API_ADMIN, STR("x"), &err), &err);
    CHECK_INT(api_counter(&fake.lake, API_COUNT_refusals), 4);
    ApiCall reader = fake_lake_call(&fake, false);
    SqlResult *result = NULL;
    CHECK_CODE(api_sql(&reader, STR("CREATE NAMESPACE forbidden"), NULL, 0, &result, &err), E_FORBIDDEN);
    fake_lake_close(&fake);
}

TEST(api_idempotency_keeps_and_gives_back)
{
    FakeLake fake;
    Err err;
    ApiClaim claim;
    ApiKept kept = { 201, STR("text/plain"), STR("line\nline") }, got;
    uint8_t one[32] = { 1 }, two[32] = { 2 };
    fake_lake_open(&fake);
    ApiCall call = fake_lake_call(&fake, true), other = fake_lake_call(&fake, false);
    CHECK_OK(api_idempotency_claim(&call, STR("k"), one, &claim, &got, &err), &err);
    CHECK_INT(claim, API_CLAIM_NEW);
    CHECK_CODE(api_idempotency_claim(&call, STR("k"), one, &claim, &got, &err), E_CONFLICT);
    CHECK_CODE(api_idempotency_claim(&call, STR("k"), two, &claim, &got, &err), E_PRECONDITION);
    CHECK_OK(api_idempotency_end(&call, STR("k"), one, NULL, &err), &err); /* given back */
    CHECK_OK(api_idempotency_claim(&call, STR("k"), one, &claim, &got, &err), &err);
    CHECK_INT(claim, API_CLAIM_NEW);
    CHECK_OK(api_idempotency_end(&call, STR("k"), one, &kept, &err), &err);
    CHECK_OK(api_idempotency_claim(&call, STR("k"), one, &claim, &got, &err), &err);
    CHECK_INT(claim, API_CLAIM_REPLAY);
    CHECK_INT(got.status, 201);
    CHECK_STR(got.type, STR("text/plain"));
    CHECK_STR(got.body, STR("line\nline"));
    CHECK_CODE(api_idempotency_claim(&call, STR("k"), two, &claim, &got, &err), E_PRECONDITION);
    CHECK_OK(api_idempotency_claim(&other, STR("k"), two, &claim, &got, &err), &err); /* another's key */
    CHECK_INT(claim, API_CLAIM_NEW);
    CHECK_CODE(api_idempotency_claim(&call, STR("k\x1f" "0"), one, &claim, &got, &err), E_INVALID);
    fake_lake_close(&fake);
}

/* The rows of a page as lines of JSON; moves the cursor, which is empty at the end. */
static size_t page_read(FakeLake *fake, ApiPageQuery *query, Buf *rows)
{
    ApiCall call = fake_lake_call(fake, false);
    ApiPage page = { 0 };
    Err err;
    Buf last AUTO(buf_done);
    Buf cursor AUTO(buf_done);
    size_t count = 0;
    uint64_t same = 0;
    bool more = false;
    buf_init(&last, 1 << 20);
    buf_init(&cursor, 1 << 20);
    CHECK_OK(api_page(&call, query, &page, &err), &err);
    while (page.result) {
        ArrowArray batch AUTO(arrow_array_done) = { 0 };
        Code code = sql_result_next(page.result, &batch, &err);
        CHECK_OK(code, &err);
        if (code != E_OK || !batch.release)
            break;
        const ArrowSchema *schema = sql_result_schema(page.result);
        ArrowSchema shown = *schema, key = *schema;
        ArrowArray values = batch, keys = batch;
        shown.n_children = values.n_children = (int64_t)page.columns;
        key.n_children = keys.n_children = (int64_t)page.keys;
        key.children += page.columns;
        keys.children += page.columns;
        for (int64_t row = 0; row < batch.length; row++) {
            Buf text AUTO(buf_done);
            buf_init(&text, 1 << 20);
            JsonWriter w = json_writer(rows), k = json_writer(&text);
            if (count == page.limit) {
                more = true;
                break;
            }
            arrow_put_json_array(&w, &shown, &values, row);
            buf_put_char(rows, '\n');
            arrow_put_json_array(&k, &key, &keys, row);
            same = str_eq(buf_str(&text), buf_str(&last)) ? same + 1 : 1;
            buf_clear(&last);
            buf_put(&last, buf_str(&text));
            count++;
        }
    }
    if (more)
        CHECK_OK(api_page_cursor(&page, buf_str(&last), same, &cursor, &err), &err);
    query->cursor = str_copy(&fake->arena, buf_str(&cursor));
    sql_result_free(&page.result);
    return count;
}

TEST(api_pages_give_every_row_once)
{
    FakeLake fake;
    fake_lake_open(&fake);
    fake_lake_sql(&fake, "CREATE NAMESPACE t");
    /* Duplicates, NULLs in key columns, values that order differently as text. */
    fake_lake_sql(&fake, "CREATE TABLE t.rows AS SELECT i % 7 AS a, CASE WHEN i % 5 = 0 THEN NULL ELSE"
                         " i % 3 END AS b, CAST(i % 4 AS VARCHAR) AS c FROM range(200) r(i)");
    static const char *const orders[] = { "", "a", "-b,c", "b desc, -a" };
    for (size_t o = 0; o < ARRAY_LEN(orders); o++) {
        Buf whole AUTO(buf_done);
        Buf paged AUTO(buf_done);
        buf_init(&whole, 1 << 20);
        buf_init(&paged, 1 << 20);
        ApiPageQuery query = { .ns = STR("t"), .name = STR("rows"), .order = str_z(orders[o]), .limit = 1000 };
        CHECK_INT(page_read(&fake, &query, &whole), 200);
        CHECK_INT(query.cursor.len, 0);
        size_t count = 0, pages = 0;
        query.limit = 9;
        do
            count += page_read(&fake, &query, &paged);
        while (query.cursor.len > 0 && ++pages < 100);
        CHECK_INT(count, 200);
        CHECK_INT(pages, 22);
        CHECK(str_eq(buf_str(&whole), buf_str(&paged)));
    }
    fake_lake_close(&fake);
}

TEST(api_page_cursor_pins_its_question_and_snapshot)
{
    FakeLake fake;
    Err err;
    ApiPage page;
    fake_lake_open(&fake);
    fake_lake_sql(&fake, "CREATE NAMESPACE t");
    fake_lake_sql(&fake, "CREATE TABLE t.n AS SELECT i FROM range(10) r(i)");
    Buf rows AUTO(buf_done);
    buf_init(&rows, 1 << 20);
    ApiPageQuery query = { .ns = STR("t"), .name = STR("n"), .limit = 4 };
    CHECK_INT(page_read(&fake, &query, &rows), 4);
    fake_lake_sql(&fake, "INSERT INTO t.n SELECT 100 + i FROM range(10) r(i)");
    CHECK_INT(page_read(&fake, &query, &rows), 4);
    CHECK_INT(page_read(&fake, &query, &rows), 2); /* of the snapshot that the first page saw */
    query.cursor = STR("bm9uc2Vuc2U");
    ApiCall call = fake_lake_call(&fake, false);
    CHECK_CODE(api_page(&call, &query, &page, &err), E_INVALID);
    query = (ApiPageQuery){ .ns = STR("t"), .name = STR("n"), .limit = 4 };
    CHECK_INT(page_read(&fake, &query, &rows), 4);
    query.where = STR("i > 2");
    CHECK_CODE(api_page(&call, &query, &page, &err), E_INVALID);
    query = (ApiPageQuery){ .ns = STR("t"), .name = STR("n"), .where = STR("nothere > 2") };
    CHECK(api_page(&call, &query, &page, &err) != E_OK);
    CHECK_INT(err.position, 0); /* in the user's `where` */
    query = (ApiPageQuery){ .ns = STR("t"), .name = STR("n"), .order = STR("ii") };
    CHECK_CODE(api_page(&call, &query, &page, &err), E_INVALID);
    CHECK(strstr(err.hint, "'i'") != NULL);
    fake_lake_close(&fake);
}

TEST(api_datasets_list_and_describe)
{
    FakeLake fake;
    Err err;
    ApiDataset *items, one;
    size_t count = 0;
    bool more = false;
    fake_lake_open(&fake);
    fake_lake_sql(&fake, "CREATE NAMESPACE t");
    fake_lake_sql(&fake, "CREATE TABLE t.a AS SELECT 1 AS x, 'y' AS y");
    fake_lake_sql(&fake, "CREATE TABLE t.b AS SELECT 2 AS x");
    ApiCall call = fake_lake_call(&fake, false);
    CHECK_OK(api_datasets(&call, STR("t"), STR_NONE, 1, &items, &count, &more, &err), &err);
    CHECK_INT(count, 1);
    CHECK(more);
    CHECK_STR(items[0].name, STR("a"));
    CHECK_INT(items[0].rows, 1);
    CHECK_OK(api_datasets(&call, STR("t"), STR("t.a"), 10, &items, &count, &more, &err), &err);
    CHECK_INT(count, 1);
    CHECK(!more);
    CHECK_OK(api_dataset(&call, STR("t"), STR("a"), &one, &err), &err);
    CHECK_INT(one.column_count, 2);
    CHECK_STR(one.columns[0].type, STR("INTEGER"));
    CHECK_OK(api_dataset(&call, STR("bronze"), STR("objects"), &one, &err), &err);
    CHECK_STR(one.kind, STR("table"));
    CHECK(one.column_count > 3);
    CHECK_OK(api_dataset(&call, STR("tarn"), STR("snapshots"), &one, &err), &err);
    CHECK_STR(one.kind, STR("system"));
    CHECK_CODE(api_dataset(&call, STR("t"), STR("aa"), &one, &err), E_NOT_FOUND);
    fake_lake_close(&fake);
}

TEST(api_backup_of_what_has_no_files)
{
    FakeLake fake;
    Err err;
    Buf out AUTO(buf_done);
    buf_init(&out, 4096);
    fake_lake_open(&fake);
    ApiCall call = fake_lake_call(&fake, true);
    CHECK_CODE(api_backup_begin(&call, &out, &err), E_UNSUPPORTED); /* no directory */
    CHECK_CODE(api_backup_renew(&call, STR("1"), &err), E_NOT_FOUND);
    CHECK_CODE(api_backup_renew(&call, STR("x"), &err), E_NOT_FOUND);
    CHECK_CODE(api_backup_end(&call, STR("0"), &err), E_NOT_FOUND);
    fake_lake_close(&fake);
}
