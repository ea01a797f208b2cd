#include "source/rows_priv.h"

#include "base/test.h"

static Code feed(Str text, size_t piece, size_t max, uint64_t *ret_rows, Err *err)
{
    RowCheck *check AUTO(row_check_free) = row_check_new(max);
    for (size_t at = 0; at < text.len; at += piece)
        TRY(row_check_write(check, str_sub(text, at, piece), err));
    return row_check_end(check, ret_rows, err);
}

TEST(rows_are_the_same_in_pieces_of_any_size)
{
    Str text = STR("{\"a\":1}\n\n  {\"a\":\"x\\ny\"}\r\n{}");
    for (size_t piece = 1; piece <= text.len; piece++) {
        Err err;
        uint64_t rows = 0;
        CHECK_OK(feed(text, piece, 100, &rows, &err), &err);
        CHECK_INT(rows, 3);
    }
}

TEST(rows_that_are_no_objects_are_named_by_line)
{
    static const struct { Str text; Code code; const char *place; } cases[] = {
        { STR_INIT("{}\n[1]\n"), E_INVALID, "line 2" },
        { STR_INIT("{}\n\n{\"a\":}\n"), E_SYNTAX, "line 3" },
        { STR_INIT("{}\n{\"a\":NaN}"), E_SYNTAX, "line 2" },
        { STR_INIT("{}\n{\"long\":\"0123456789\"}"), E_LIMIT, "line 2" },
        { STR_INIT("\n \n"), E_INVALID, "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err;
        err_clear(&err);
        uint64_t rows = 0;
        CHECK_CODE(feed(cases[i].text, 3, 16, &rows, &err), cases[i].code);
        CHECK_STR(str_z(err.place), str_z(cases[i].place));
    }
}
