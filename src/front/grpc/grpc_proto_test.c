#include "base/test.h"
#include "front/grpc/grpc_proto.h"

TEST(proto_fields_are_read)
{
    static const struct {
        Str in;
        const char *wanted; /* number=value or number:bytes, in order; "!" behind damage */
    } rows[] = {
        { STR_INIT(""), "" },
        { STR_INIT("\x08\x96\x01"), "1=150 " },
        { STR_INIT("\x12\x07testing"), "2:testing " },
        { STR_INIT("\x1a\x03\x08\x96\x01"), "3:\x08\x96\x01 " },
        { STR_INIT("\x0d\x01\x02\x00\x00"), "1=513 " },
        { STR_INIT("\x09\x01\x00\x00\x00\x00\x00\x00\x80"), "1=9223372036854775809 " },
        { STR_INIT("\x08\x01\x12\x01x\x08\x02"), "1=1 2:x 1=2 " },
        { STR_INIT("\xfa\xff\xff\xff\x0f\x00"), "536870911: " },
        { STR_INIT("\x12\x08testing"), "!" },
        { STR_INIT("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"), "!" },
        { STR_INIT("\x08"), "!" },
        { STR_INIT("\x08\x01\x0b\x0c"), "1=1 !" },
        { STR_INIT("\x00\x01"), "!" },
        { STR_INIT("\x0e\x01"), "!" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Reader reader = reader_of(rows[i].in);
        ProtoField field;
        Buf out AUTO(buf_done);
        buf_init(&out, 1000);
        while (proto_next(&reader, &field))
            if (field.is_bytes)
                buf_format(&out, "%u:" STR_FMT " ", field.number, STR_ARG(field.bytes));
            else
                buf_format(&out, "%u=%llu ", field.number, (unsigned long long)field.value);
        if (!reader_ok(&reader))
            buf_put_char(&out, '!');
        CHECK_STR(buf_str(&out), str_z(rows[i].wanted));
    }
}

TEST(proto_fields_are_written)
{
    Buf out AUTO(buf_done);
    buf_init(&out, 1000);
    proto_put_varint(&out, 1, 150);
    proto_put_varint(&out, 1, 0);
    proto_put_bytes(&out, 2, STR("testing"));
    proto_put_bytes(&out, 2, STR_NONE);
    proto_put_message(&out, 16, STR_NONE);
    CHECK_STR(buf_str(&out), STR("\x08\x96\x01\x12\x07testing\x82\x01\x00"));
    CHECK_STR(proto_bytes(buf_str(&out), 2), STR("testing"));
    CHECK(!proto_bytes(buf_str(&out), 1).ptr && !proto_bytes(STR("\x12\x01"), 2).ptr);
}
