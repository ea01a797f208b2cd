/* SQL type text: what was read is written, and is read as the same type again. */
#include "table/type.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Arena arena AUTO(arena_done) = { 0 };
    const IceType *type, *again;
    Err err;
    if (ice_type_from_sql(&arena, str_of(bytes, len), &type, &err) != E_OK)
        return 0;
    ASSERT(ice_type_from_sql(&arena, ice_type_to_sql(&arena, type), &again, &err) == E_OK);
    ASSERT(ice_type_eq(type, again));
    return 0;
}
