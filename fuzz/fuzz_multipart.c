/* Multipart forms: the same parts and bytes whole and byte by byte. */
#include "front/rest/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static Code seen_begin(void *self, const MultipartPart *part, Err *err)
{
    (void)err;
    buf_format(self, "[" STR_FMT "|" STR_FMT "|" STR_FMT ":", STR_ARG(part->name),
               STR_ARG(part->filename), STR_ARG(part->content_type));
    return E_OK;
}

static Code seen_data(void *self, Str bytes, Err *err)
{
    (void)err;
    buf_put(self, bytes);
    return E_OK;
}

static Code seen_end(void *self, Err *err)
{
    (void)err;
    buf_put_char(self, ']');
    return E_OK;
}

static Code form_read(Str in, size_t piece, Buf *out)
{
    static const MultipartOps ops = { seen_begin, seen_data, seen_end };
    Multipart form;
    buf_init(out, 64 << 20);
    Code code = multipart_init(&form, STR("multipart/form-data; boundary=b"), &ops, out, NULL);
    for (size_t at = 0; code == E_OK && at < in.len; at += piece)
        code = multipart_feed(&form, str_sub(in, at, piece), NULL);
    if (code == E_OK)
        code = multipart_finish(&form, NULL);
    multipart_done(&form);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Buf whole, piecewise;
    Str in = str_of(bytes, len);
    Code one = form_read(in, len + 1, &whole), other = form_read(in, 1, &piecewise);
    ASSERT((one == E_OK) == (other == E_OK));
    if (one == E_OK)
        ASSERT(str_eq(buf_str(&whole), buf_str(&piecewise)));
    buf_done(&whole);
    buf_done(&piecewise);
    return 0;
}
