/* Any bytes as SQL: tokens move on and do not overlap; the pass keeps every length and line. */
#include "sql/lexer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tokens(Str text)
{
    SqlLexer lexer = { .text = text };
    size_t at = 0;
    for (;;) {
        SqlToken token = sql_token_next(&lexer);
        ASSERT(token.at >= at && sql_token_end(&token) <= text.len);
        if (token.kind == SQL_TOKEN_END || token.kind == SQL_TOKEN_BAD)
            break;
        ASSERT(token.text.len > 0);
        at = sql_token_end(&token);
    }
    SqlToken end = sql_token_next(&lexer);
    ASSERT(end.kind == SQL_TOKEN_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena arena AUTO(arena_done) = { 0 };
    Str text = str_of((const char *)data, size);
    check_tokens(text);
    SqlText prepared;
    Err err;
    if (sql_text_prepare(text, 0, &arena, &prepared, &err) != E_OK)
        return 0;
    ASSERT(prepared.len == size);
    for (size_t i = 0; i < prepared.token_count; i++)
        ASSERT(sql_token_value(&arena, &prepared.tokens[i]).len <= prepared.tokens[i].text.len);
    for (size_t i = 0; i < prepared.travel_count; i++)
        ASSERT(prepared.travels[i].name.len <= size && prepared.travels[i].position >= 0);
    sql_text_shorten(&prepared, STR("b"), STR("e"));
    for (size_t i = 0; i < prepared.token_count && i < 8; i++)
        IGNORE(sql_text_replace_call(&prepared, (int64_t)prepared.tokens[i].at, STR("\"@1\" x"),
                                     &err));
    ASSERT(prepared.len == size);
    return 0;
}
