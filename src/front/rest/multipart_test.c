#include "front/rest/multipart.h"

#include "base/test.h"

typedef struct Seen {
    Buf text;
} Seen;

static Code seen_begin(void *self, const MultipartPart *part, Err *err)
{
    Seen *seen = self;
    (void)err;
    buf_format(&seen->text, "[" STR_FMT "|" STR_FMT "|" STR_FMT ":", STR_ARG(part->name),
               STR_ARG(part->filename.ptr ? part->filename : STR("-")), STR_ARG(part->content_type));
    return E_OK;
}

static Code seen_data(void *self, Str bytes, Err *err)
{
    Seen *seen = self;
    (void)err;
    buf_put(&seen->text, bytes);
    return E_OK;
}

static Code seen_end(void *self, Err *err)
{
    Seen *seen = self;
    (void)err;
    buf_put_char(&seen->text, ']');
    return E_OK;
}

static const MultipartOps ops = { seen_begin, seen_data, seen_end };

static Code read_form(Str type, Str body, size_t piece, Seen *seen, Err *err)
{
    Multipart form;
    buf_init(&seen->text, 1 << 20);
    Code code = multipart_init(&form, type, &ops, seen, err);
    for (size_t at = 0; code == E_OK && at < body.len; at += piece)
        code = multipart_feed(&form, str_sub(body, at, piece), err);
    if (code == E_OK)
        code = multipart_finish(&form, err);
    multipart_done(&form);
    return code;
}

#define TYPE "multipart/form-data; boundary=\"x y\""

TEST(multipart_forms)
{
    static const struct {
        const char *name;
        Str type, body;
        Code code;
        const char *seen;
    } rows[] = {
        { "two", STR_INIT(TYPE),
          STR_INIT("--x y\r\nContent-Disposition: form-data; name=\"source\"\r\n\r\nskies\r\n"
                   "--x y\r\nContent-Disposition: form-data; name=f; filename=\"a \\\"b\\\".csv\"\r\n"
                   "Content-Type: text/csv\r\n\r\n1\r\n--x \r\n2\r\n--x y--\r\nepilogue"),
          E_OK, "[source|-|:skies][f|a \"b\".csv|text/csv:1\r\n--x \r\n2]" },
        { "empty part", STR_INIT(TYPE),
          STR_INIT("preamble\r\n--x y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--x y--"),
          E_OK, "[a|-|:]" },
        { "none", STR_INIT(TYPE), STR_INIT("--x y--\r\n"), E_OK, "" },
        { "cut", STR_INIT(TYPE), STR_INIT("--x y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nabc"),
          E_INVALID, NULL },
        { "no name", STR_INIT(TYPE), STR_INIT("--x y\r\nContent-Type: a\r\n\r\nabc\r\n--x y--"), E_INVALID, NULL },
        { "longer boundary", STR_INIT(TYPE), STR_INIT("--x yz\r\n\r\n"), E_INVALID, NULL },
        { "no boundary", STR_INIT("multipart/form-data"), STR_INIT(""), E_INVALID, NULL },
        { "empty boundary", STR_INIT("multipart/form-data; boundary="), STR_INIT(""), E_INVALID, NULL },
    };
    static const size_t pieces[] = { 1, 2, 3, 7, 1 << 20 };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
            Seen seen;
            Err err;
            Code code = read_form(rows[i].type, rows[i].body, pieces[p], &seen, &err);
            if (code != rows[i].code)
                test_failed(__FILE__, __LINE__, "%s by %zu: %s", rows[i].name, pieces[p],
                            code_info(code)->name);
            if (rows[i].seen)
                CHECK_STR(buf_str(&seen.text), str_z(rows[i].seen));
            buf_done(&seen.text);
        }
    }
}

TEST(multipart_limits)
{
    Seen seen;
    Err err;
    Buf body AUTO(buf_done);
    buf_init(&body, 1 << 20);
    buf_put(&body, STR("--x y\r\nX: "));
    for (int i = 0; i < 20000; i++)
        buf_put_char(&body, 'x');
    CHECK_CODE(read_form(STR(TYPE), buf_str(&body), 1000, &seen, &err), E_LIMIT);
    buf_done(&seen.text);
    buf_clear(&body);
    for (int i = 0; i <= MULTIPART_PARTS_MAX; i++)
        buf_put(&body, STR("--x y\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n"));
    CHECK_CODE(read_form(STR(TYPE), buf_str(&body), 1 << 20, &seen, &err), E_LIMIT);
    buf_done(&seen.text);
}
