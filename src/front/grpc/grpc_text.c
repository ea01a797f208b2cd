#include "front/grpc/grpc_text.h"
#include "base/text.h"

enum { TIMEOUT_DIGITS_MAX = 8 };

GrpcStatus grpc_status_of(Code code)
{
    return (GrpcStatus)code_info(code)->grpc;
}

/* doc/http-grpc-status-mapping.md of gRPC. */
GrpcStatus grpc_status_of_http(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

void grpc_message_put(Buf *out, Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.ptr[i];
        if (byte >= 0x20 && byte <= 0x7E && byte != '%')
            buf_put_char(out, (char)byte);
        else
            buf_format(out, "%%%02X", byte);
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

void grpc_message_decode(Buf *out, Str value)
{
    for (size_t i = 0; i < value.len; i++) {
        bool pair = value.ptr[i] == '%' && i + 2 < value.len && hex_digit(value.ptr[i + 1]) >= 0 &&
                    hex_digit(value.ptr[i + 2]) >= 0;
        if (pair) {
            buf_put_char(out, (char)(hex_digit(value.ptr[i + 1]) * 16 + hex_digit(value.ptr[i + 2])));
            i += 2;
        } else {
            buf_put_char(out, value.ptr[i]);
        }
    }
}

bool grpc_timeout_parse(Str value, int64_t *ret_us)
{
    static const struct {
        char unit;
        int64_t us;
    } units[] = { { 'H', 3600000000 }, { 'M', 60000000 }, { 'S', 1000000 }, { 'm', 1000 }, { 'u', 1 } };
    if (value.len < 2 || value.len > TIMEOUT_DIGITS_MAX + 1 || value.ptr[0] == '-')
        return false;
    uint64_t number;
    if (!str_u64(str_sub(value, 0, value.len - 1), &number))
        return false;
    char unit = value.ptr[value.len - 1];
    if (unit == 'n') {
        *ret_us = (int64_t)(number + 999) / 1000;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (units[i].unit == unit) {
            *ret_us = (int64_t)number * units[i].us;
            return true;
        }
    return false;
}

void grpc_bin_put(Buf *out, Str bytes)
{
    base64_put(out, bytes);
    while (out->len > 0 && out->ptr[out->len - 1] == '=')
        out->len--;
}

bool grpc_bin_parse(Arena *arena, Str value, Str *ret_bytes)
{
    static const Str padding[] = { STR_INIT(""), STR_INIT(""), STR_INIT("=="), STR_INIT("=") };
    if (value.len % 4 == 1)
        return false;
    Str padded = str_format(arena, STR_FMT STR_FMT, STR_ARG(value), STR_ARG(padding[value.len % 4]));
    return base64_parse(arena, padded, ret_bytes);
}

bool grpc_type_is(Str content_type)
{
    Str type = STR("application/grpc");
    if (!str_istarts(content_type, type))
        return false;
    Str rest = str_trim(str_from(content_type, type.len));
    return rest.len == 0 || rest.ptr[0] == '+' || rest.ptr[0] == ';';
}
