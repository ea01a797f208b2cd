/* JSON: what is read is written, read again, and has the same canonical form. */
#include "format/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done), first AUTO(buf_done), second AUTO(buf_done);
    const Json *value, *again;
    Err err;
    buf_init(&text, 16 << 20);
    buf_init(&first, 16 << 20);
    buf_init(&second, 16 << 20);
    if (json_parse(&arena, str_of(bytes, len), NULL, &value, &err) != E_OK)
        return 0;
    JsonWriter w = json_writer(&text);
    json_put_value(&w, value);
    ASSERT(json_parse(&arena, buf_str(&text), NULL, &again, &err) == E_OK);
    json_canonical(&first, value);
    json_canonical(&second, again);
    ASSERT(str_eq(buf_str(&first), buf_str(&second)));
    return 0;
}
