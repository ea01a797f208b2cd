#include "source/lake_test.h"

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
