#include "front/grpc/grpc_proto.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5, NUMBER_MAX = (1 << 29) - 1 };

bool proto_next(Reader *reader, ProtoField *ret_field)
{
    if (!reader_ok(reader) || reader_left(reader) == 0)
        return false;
    uint64_t key = read_varint(reader), number = key >> 3;
    ProtoField field = { .number = (uint32_t)number };
    if (number == 0 || number > NUMBER_MAX)
        reader_fail(reader, "a field number outside of 1 to 2^29 - 1");
    switch (key & 7) {
    case WIRE_VARINT:
        field.value = read_varint(reader);
        break;
    case WIRE_64:
        field.value = read_u64le(reader);
        break;
    case WIRE_32:
        field.value = read_u32le(reader);
        break;
    case WIRE_BYTES:
        field.is_bytes = true;
        field.bytes = read_bytes(reader, read_count(reader, read_varint(reader), reader_left(reader)));
        break;
    default:
        reader_fail(reader, "an unknown wire type");
    }
    if (!reader_ok(reader))
        return false;
    *ret_field = field;
    return true;
}

Str proto_bytes(Str message, uint32_t number)
{
    Reader reader = reader_of(message);
    ProtoField field;
    Str found = STR_NONE;
    while (proto_next(&reader, &field))
        if (field.number == number && field.is_bytes)
            found = field.bytes;
    return reader_ok(&reader) ? found : STR_NONE;
}

void proto_put_varint(Buf *out, uint32_t number, uint64_t value)
{
    if (value == 0)
        return;
    write_varint(out, (uint64_t)number << 3 | WIRE_VARINT);
    write_varint(out, value);
}

void proto_put_bytes(Buf *out, uint32_t number, Str bytes)
{
    if (bytes.len > 0)
        proto_put_message(out, number, bytes);
}

void proto_put_message(Buf *out, uint32_t number, Str message)
{
    write_varint(out, (uint64_t)number << 3 | WIRE_BYTES);
    write_varint(out, message.len);
    buf_put(out, message);
}
