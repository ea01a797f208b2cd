/* The header of a model file: never a crash, and what is accepted keeps its promises. */
#include "flow/model.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena arena AUTO(arena_done) = { 0 };
    Str text = str_of(data, size);
    Model model;
    Err err;
    if (model_parse(&arena, STR("models/fuzz.sql"), text, &model, &err) == E_OK) {
        ASSERT(model.sql_at <= model.text.len && model.ns.len > 0 && model.table.len > 0);
        ASSERT(model.sql.len == 0 || str_eq(str_sub(model.text, model.sql_at, model.sql.len), model.sql));
        ASSERT(model.gate_min >= 0 && model.gate_min <= 1);
    }
    Str once = model_canonical(&arena, text);
    Str twice = model_canonical(&arena, once);
    ASSERT(once.len <= text.len && twice.len <= once.len);
    return 0;
}
