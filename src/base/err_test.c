#include "base/err.h"

#include "base/test.h"

#include <string.h>

TEST(err_wrap_keeps_place_and_hint)
{
    Err err;
    Code code = err_set(&err, E_NOT_FOUND, "no object '%s'", "a");
    err_place(&err, code, "s3://bronze/a");
    err_hint(&err, code, "ingest it");
    CHECK_CODE(err_wrap(&err, code, "reading the model"), E_NOT_FOUND);
    CHECK_STR(str_z(err.text), STR("reading the model: no object 'a'"));
    CHECK_STR(str_z(err.place), STR("s3://bronze/a"));
    CHECK_CODE(err_set(NULL, E_IO, "x"), E_IO);
}

TEST(err_text_is_cut_at_a_whole_character)
{
    char text[ERR_TEXT_MAX * 2];
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xA4", 2);
    text[sizeof text - 2] = '\0';
    Err err;
    err_set(&err, E_INVALID, "%s", text);
    CHECK(str_is_utf8(str_z(err.text)));
}

TEST(err_table_is_whole)
{
    for (Code code = 0; code < E_COUNT; code++) {
        CHECK(code_info(code)->name != NULL);
        CHECK_INT(strlen(code_info(code)->sqlstate), 5);
    }
}
