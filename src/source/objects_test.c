#include "source/lake_test.h"

#include "format/arrow.h"

TEST(find_gives_the_newest_of_a_name)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "skies", "a.csv", "1");
    IngestResult second = test_ingest(&lake, "skies", "a.csv", "2");
    test_ingest(&lake, "skies", "b.csv", "3");
    test_ingest(&lake, "other", "a.csv", "4");
    ObjectInfo *objects;
    size_t count;
    CHECK_OK(source_find(lake.source, STR("skies"), STR("a.csv"), false, &lake.arena, &objects, &count,
                         &lake.err), &lake.err);
    CHECK_INT(count, 1);
    CHECK_INT(objects[0].sequence, second.sequence);
    CHECK_OK(source_find(lake.source, STR("skies"), STR("a.csv"), true, &lake.arena, &objects, &count,
                         &lake.err), &lake.err);
    CHECK_INT(count, 2);
    CHECK(objects[0].sequence < objects[1].sequence);
    CHECK_CODE(source_find(lake.source, STR("skies"), STR("a.cvs"), false, &lake.arena, &objects, &count,
                           &lake.err), E_NOT_FOUND);
    CHECK(str_find(str_z(lake.err.hint), STR("a.csv")) >= 0);
}

static size_t rows_of(const ScanSource *source, const ScanQuery *query, ArrowArray *ret_first, Err *err)
{
    void *scan = NULL;
    size_t rows = 0;
    CHECK_OK(source->open(source->self, query, &scan, err), err);
    for (;;) {
        ArrowArray batch = { 0 };
        CHECK_OK(source->next(scan, &batch, err), err);
        if (!batch.release)
            break;
        rows += (size_t)batch.length;
        if (!ret_first->release)
            *ret_first = batch;
        else
            batch.release(&batch);
    }
    source->close(scan);
    return rows;
}

TEST(bronze_objects_has_a_row_an_object)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "skies", "a.csv", "a,b\n1,2\n");
    IngestBegin begin = { .source = STR("skies"), .name = STR("b.json"), .consent = STR("research") };
    IngestResult result;
    CHECK_OK(source_ingest_bytes(lake.source, &begin, STR("{}"), &lake.arena, &result, &lake.err),
             &lake.err);
    StorePut put = { .bucket = STR("bronze"), .key = STR("raw/x.bin"),
                     .content_type = STR("application/octet-stream") };
    CHECK_OK(store_put(lake.store, &put, STR("123"), NULL, &lake.err), &lake.err);

    const ScanSource *source = source_objects_scan(lake.source);
    ArrowSchema schema AUTO(arrow_schema_done) = { 0 };
    CHECK_OK(source->schema(source->self, &schema, &lake.err), &lake.err);
    CHECK_INT(schema.n_children, 9);
    size_t columns[] = { 8, 2, 3, 1 }; /* consent, name, size_bytes, source */
    ScanQuery query = { .columns = columns, .column_count = ARRAY_LEN(columns) };
    ArrowArray batch AUTO(arrow_array_done) = { 0 };
    CHECK_INT(rows_of(source, &query, &batch, &lake.err), 3);
    CHECK_INT(batch.n_children, 4);
    CHECK(arrow_is_null(schema.children[8], batch.children[0], 1)); /* raw/x.bin: first by key */
    CHECK_STR(arrow_str(schema.children[2], batch.children[1], 0), STR("x.bin"));
    CHECK_STR(arrow_str(schema.children[1], batch.children[3], 0), STR("raw"));
    CHECK_INT(arrow_i64(schema.children[3], batch.children[2], 1, -1), 8);
    CHECK_STR(arrow_str(schema.children[2], batch.children[1], 2), STR("b.json"));
    CHECK_STR(arrow_str(schema.children[8], batch.children[0], 2), STR("research"));
}

TEST(bronze_objects_goes_through_pages)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    for (size_t i = 0; i < STORE_LIST_MAX + 5; i++) {
        StorePut put = { .bucket = STR("bronze"), .key = str_format(&lake.arena, "s/n%05zu", i) };
        CHECK_OK(store_put(lake.store, &put, STR("x"), NULL, &lake.err), &lake.err);
    }
    const ScanSource *source = source_objects_scan(lake.source);
    size_t columns[] = { 0 };
    ScanQuery query = { .columns = columns, .column_count = 1 };
    ArrowArray batch AUTO(arrow_array_done) = { 0 };
    CHECK_INT(rows_of(source, &query, &batch, &lake.err), STORE_LIST_MAX + 5);
}
