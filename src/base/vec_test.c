#include "base/vec.h"

#include "base/test.h"

TEST(vec_grows_and_keeps)
{
    Vec(int64_t) longs = { 0 };
    for (int64_t i = 0; i < 1000; i++)
        vec_push(&longs, i * i);
    CHECK_INT(longs.len, 1000);
    CHECK_INT(longs.items[999], 998001);
    CHECK_INT(*vec_last(&longs), 998001);
    vec_done(&longs);
    CHECK(longs.items == NULL);
}
