#include "base/buf.h"

#include "base/test.h"

TEST(buf_beyond_its_maximum_sticks)
{
    Err err;
    Buf buf AUTO(buf_done);
    buf_init(&buf, 4);
    buf_put(&buf, STR("abc"));
    CHECK_OK(buf_end(&buf, "text", &err), &err);
    buf_put(&buf, STR("de"));
    buf_put_char(&buf, 'f');
    CHECK_CODE(buf_end(&buf, "text", &err), E_LIMIT);
    CHECK_STR(buf_str(&buf), STR("abc"));
    buf_clear(&buf);
    buf_format(&buf, "%d", 1234);
    CHECK_OK(buf_end(&buf, "text", &err), &err);
    CHECK_STR(buf_str(&buf), STR("1234"));
}

TEST(buf_drop_front_moves_the_rest)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, 100);
    buf_put(&buf, STR("abcdef"));
    buf_drop_front(&buf, 4);
    CHECK_STR(buf_str(&buf), STR("ef"));
    buf_put_zeros(&buf, 2);
    CHECK_INT(buf.len, 4);
}
