/* Avro container files: a value that was read is written, and is read as the same bytes again. */
#include "format/avro.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { VALUES_MAX = 1000, BYTES_MAX = 64 << 20 }; /* of all values of an input: a few bytes can be 4 M of nulls */

static void write_and_read(Arena *arena, const AvroSchema *schema, const AvroValue *value)
{
    Buf first AUTO(buf_done), second AUTO(buf_done);
    AvroValue again;
    Err err;
    buf_init(&first, 16 << 20);
    buf_init(&second, 16 << 20);
    ASSERT(avro_encode(&first, schema, value, &err) == E_OK);
    if (first.over)
        return;
    Reader r = reader_of(buf_str(&first));
    ASSERT(avro_decode(&r, arena, schema, &again, &err) == E_OK);
    ASSERT(reader_left(&r) == 0);
    ASSERT(avro_encode(&second, schema, &again, &err) == E_OK);
    ASSERT(str_eq(buf_str(&first), buf_str(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Arena arena AUTO(arena_done) = { 0 };
    AvroReader *reader AUTO(avro_reader_free) = NULL;
    Err err;
    size_t used = 0;
    bool more = true;
    if (avro_reader_open(str_of(bytes, len), &reader, &err) != E_OK)
        return 0;
    for (int i = 0; i < VALUES_MAX && used < BYTES_MAX && more; i++) {
        AvroValue value;
        arena_reset(&arena);
        if (avro_reader_next(reader, &arena, &value, &more, &err) != E_OK)
            return 0;
        if (more)
            write_and_read(&arena, avro_reader_schema(reader), &value);
        used += arena.used_bytes;
    }
    return 0;
}
