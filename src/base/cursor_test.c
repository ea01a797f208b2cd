#include "base/cursor.h"

#include "base/test.h"

TEST(cursor_round_trip)
{
    Err err;
    Writer w AUTO(buf_done);
    buf_init(&w, 1000);
    write_u8(&w, 7);
    write_u16be(&w, 0x1234);
    write_u32le(&w, 0xDEADBEEF);
    write_u64be(&w, 0x0102030405060708);
    write_varint(&w, UINT64_MAX);
    write_zigzag(&w, INT64_MIN);
    write_str32(&w, STR("abc"));
    Reader r = reader_of(buf_str(&w));
    CHECK_INT(read_u8(&r), 7);
    CHECK_INT(read_u16be(&r), 0x1234);
    CHECK_INT(read_u32le(&r), 0xDEADBEEF);
    CHECK_INT(read_u64be(&r), 0x0102030405060708);
    CHECK(read_varint(&r) == UINT64_MAX);
    CHECK_INT(read_zigzag(&r), INT64_MIN);
    CHECK_STR(read_str32(&r, 10), STR("abc"));
    CHECK_OK(reader_end(&r, "frame", &err), &err);
}

TEST(cursor_failure_sticks)
{
    Err err;
    Reader r = reader_of(STR("\x05\x00\x00\x00" "ab"));
    CHECK_INT(read_str32(&r, 100).len, 0);
    CHECK_INT(read_u8(&r), 0);
    CHECK_CODE(reader_check(&r, "frame", &err), E_CORRUPT);
    Reader over = reader_of(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
    CHECK_INT(read_varint(&over), 0);
    CHECK(!reader_ok(&over));
    Reader many = reader_of(STR("abc"));
    CHECK_INT(read_count(&many, 11, 10), 0);
    CHECK_CODE(reader_end(&many, "frame", &err), E_CORRUPT);
    Reader left = reader_of(STR("abc"));
    CHECK_CODE(reader_end(&left, "frame", &err), E_CORRUPT);
}
