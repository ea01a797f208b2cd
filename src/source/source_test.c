/* source.c, and the claims of index.c through it. */
#include "source/lake_test.h"

#include "os/thread.h"

TEST(ingest_gives_address_size_hash_and_type)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    Str before = date_format(&lake.arena, os_now_us(os_real()));
    IngestResult result = test_ingest(&lake, "skies", "a/airports.csv", "iata,name\nORD,O'Hare\n");
    Str after = date_format(&lake.arena, os_now_us(os_real()));
    Str day = str_find(result.address, before) > 0 ? before : after; /* midnight may lie between */
    CHECK_STR(result.address, str_format(&lake.arena, "s3://bronze/skies/ingest_date=" STR_FMT
                                         "/a/airports.csv", STR_ARG(day)));
    CHECK_STR(result.name, STR("a/airports.csv"));
    CHECK_STR(result.content_type, STR("text/csv"));
    CHECK_INT(result.size_bytes, 21);
    CHECK(!result.duplicate);
    CHECK_STR(hex_format(&lake.arena, str_of(result.sha256, 4)), STR("a685dbb0"));
}

TEST(ingest_of_the_same_bytes_gives_the_first_address)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    IngestResult first = test_ingest(&lake, "skies", "a.csv", "x\n");
    IngestResult again = test_ingest(&lake, "skies", "b.csv", "x\n");
    CHECK(again.duplicate);
    CHECK_STR(again.address, first.address);
    CHECK_INT(again.sequence, first.sequence);
    IngestResult elsewhere = test_ingest(&lake, "other", "a.csv", "x\n");
    CHECK(!elsewhere.duplicate);
    /* A Source that was opened later learns what is there from the store. */
    Source *late AUTO(source_free) = NULL;
    SourceOptions options = { .os = os_real(), .store = lake.store };
    CHECK_OK(source_open(&options, &late, &lake.err), &lake.err);
    IngestBegin begin = { .source = STR("skies"), .name = STR("c.csv") };
    IngestResult result;
    CHECK_OK(source_ingest_bytes(late, &begin, STR("x\n"), &lake.arena, &result, &lake.err), &lake.err);
    CHECK(result.duplicate);
}

TEST(ingest_of_deleted_bytes_stores_them_again)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    IngestResult first = test_ingest(&lake, "skies", "a.csv", "x\n");
    Str bucket;
    Str key;
    CHECK(store_address_parse(first.address, &bucket, &key));
    CHECK_OK(store_delete(lake.store, bucket, key, &lake.err), &lake.err);
    IngestResult again = test_ingest(&lake, "skies", "a.csv", "x\n");
    CHECK(!again.duplicate);
    CHECK(again.sequence > first.sequence);
}

TEST(ingest_of_other_bytes_under_a_name_adds_the_hash)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "skies", "d.x/a.tar.gz", "one");
    IngestResult second = test_ingest(&lake, "skies", "d.x/a.tar.gz", "two");
    CHECK_STR(second.name, STR("d.x/a.tar~3fc4ccfe.gz"));
    IngestResult bare = test_ingest(&lake, "skies", "d.x/plain", "one more");
    bare = test_ingest(&lake, "skies", "d.x/plain", "three");
    CHECK_STR(bare.name, STR("d.x/plain~8b5b9db0"));
    CHECK(!bare.duplicate);
}

TEST(ingest_refuses_and_leaves_nothing)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    Ingest *ingest = NULL;
    IngestBegin begin = { .source = STR("skies"), .name = STR("../x") };
    CHECK_CODE(source_ingest_begin(lake.source, &begin, &ingest, &lake.err), E_INVALID);
    begin = (IngestBegin){ .source = STR("Skies"), .name = STR("x") };
    CHECK_CODE(source_ingest_begin(lake.source, &begin, &ingest, &lake.err), E_INVALID);
    begin = (IngestBegin){ .source = STR("skies"), .name = STR("x"), .consent = STR("A b") };
    CHECK_CODE(source_ingest_begin(lake.source, &begin, &ingest, &lake.err), E_INVALID);
    begin = (IngestBegin){ .source = STR("skies"), .rows = true };
    IngestResult result;
    CHECK_CODE(source_ingest_bytes(lake.source, &begin, STR("{}\n1\n"), &lake.arena, &result, &lake.err),
               E_INVALID);
    StoreListPage page;
    StoreListQuery query = { .bucket = STR("bronze") };
    CHECK_OK(store_list(lake.store, &query, &lake.arena, &page, &lake.err), &lake.err);
    CHECK_INT(page.object_count, 0);
}

TEST(ingest_of_rows_counts_them)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    IngestBegin begin = { .source = STR("web"), .rows = true, .consent = STR("research,contact") };
    IngestResult result;
    CHECK_OK(source_ingest_bytes(lake.source, &begin, STR("{\"a\":1}\n{\"a\":2}"), &lake.arena, &result,
                                 &lake.err), &lake.err);
    CHECK_INT(result.rows, 2);
    CHECK_STR(result.content_type, STR("application/x-ndjson"));
    CHECK(str_starts(result.name, STR("rows-")) && str_ends(result.name, STR(".ndjson")));
}

enum { SENDERS = 8 };

typedef struct Sender {
    TestLake *lake;
    size_t number;
    IngestResult result;
    Arena arena;
} Sender;

static void *send_same(void *arg)
{
    Sender *sender = arg;
    Err err;
    Str name = str_format(&sender->arena, "n%zu.csv", sender->number);
    IngestBegin begin = { .source = STR("skies"), .name = name };
    CHECK_OK(source_ingest_bytes(sender->lake->source, &begin, STR("same bytes"), &sender->arena,
                                 &sender->result, &err), &err);
    return NULL;
}

TEST(ingest_of_the_same_bytes_at_once_stores_them_once)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    Sender senders[SENDERS] = { 0 };
    Thread threads[SENDERS] = { 0 };
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i].lake = &lake;
        senders[i].number = i;
        CHECK_OK(thread_start(&threads[i], "send", send_same, &senders[i], &lake.err), &lake.err);
    }
    size_t fresh = 0;
    for (size_t i = 0; i < SENDERS; i++) {
        thread_join(&threads[i]);
        fresh += !senders[i].result.duplicate;
        CHECK_STR(senders[i].result.address, senders[0].result.address);
    }
    CHECK_INT(fresh, 1);
    for (size_t i = 0; i < SENDERS; i++)
        arena_done(&senders[i].arena);
}
