#include "base/test.h"
#include "front/grpc/grpc_proto.h"
#include "front/grpc/grpc_reflection.h"

enum { BYTES_MAX = 1 << 20 };

/* a.proto, package p: message M {message N; extension 100 of p.M}, enum E, service S {F}; imports b.proto.
 * b.proto: message B; imports a.proto and itself. */
static const Str a_proto = STR_INIT("\x0a\x07" "a.proto\x12\x01p\x1a\x07" "b.proto"
                                    "\x22\x15\x0a\x01M\x1a\x03\x0a\x01N\x32\x0b\x0a\x01x\x12\x04.p.M\x18\x64"
                                    "\x2a\x03\x0a\x01" "E\x32\x08\x0a\x01S\x12\x03\x0a\x01" "F");
static const Str b_proto = STR_INIT("\x0a\x07" "b.proto\x1a\x07" "a.proto\x1a\x07" "b.proto\x22\x03\x0a\x01" "B");

static void set_make(Buf *out)
{
    buf_init(out, BYTES_MAX);
    proto_put_message(out, 1, a_proto);
    proto_put_message(out, 1, b_proto);
}

/* The answer in words: `files a b`, `services p.S`, `numbers p.M 100`, `error 5`. */
static void tell(const GrpcReflection *reflection, uint32_t number, Str value, Buf *out)
{
    Buf request AUTO(buf_done), answer AUTO(buf_done);
    buf_init(&request, BYTES_MAX);
    buf_init(&answer, BYTES_MAX);
    proto_put_message(&request, number, value);
    grpc_reflection_answer(reflection, buf_str(&request), &answer);
    CHECK_STR(proto_bytes(buf_str(&answer), 2), buf_str(&request));
    static const char *const kinds[] = { "files", "numbers", "services", "error" };
    for (uint32_t kind = 4; kind <= 7; kind++) {
        Str part = proto_bytes(buf_str(&answer), kind);
        Reader reader = reader_of(part);
        ProtoField field;
        if (part.ptr)
            buf_put(out, str_z(kinds[kind - 4]));
        while (part.ptr && proto_next(&reader, &field)) {
            Str text = field.is_bytes && kind != 5 ? proto_bytes(field.bytes, 1) : field.bytes;
            if (field.is_bytes && kind != 7)
                buf_format(out, " " STR_FMT, STR_ARG(text));
            else if (!field.is_bytes)
                buf_format(out, " %llu", (unsigned long long)field.value);
        }
    }
}

TEST(grpc_reflection_answers)
{
    static const struct {
        uint32_t number;
        Str value;
        const char *wanted;
    } rows[] = {
        { 3, STR_INIT("a.proto"), "files a.proto b.proto" },
        { 3, STR_INIT("b.proto"), "files b.proto a.proto" },
        { 3, STR_INIT("c.proto"), "error 5" },
        { 4, STR_INIT("p.M"), "files a.proto b.proto" },
        { 4, STR_INIT("p.M.N"), "files a.proto b.proto" },
        { 4, STR_INIT("p.E"), "files a.proto b.proto" },
        { 4, STR_INIT("p.S"), "files a.proto b.proto" },
        { 4, STR_INIT("p.S.F"), "files a.proto b.proto" },
        { 4, STR_INIT("B"), "files b.proto a.proto" },
        { 4, STR_INIT("p"), "error 5" },
        { 4, STR_INIT(""), "error 5" },
        { 5, STR_INIT("\x0a\x03p.M\x10\x64"), "files a.proto b.proto" },
        { 5, STR_INIT("\x0a\x03p.M\x10\x65"), "error 5" },
        { 6, STR_INIT("p.M"), "numbers p.M 100" },
        { 6, STR_INIT("p.X"), "error 5" },
        { 7, STR_INIT("*"), "services p.S" },
        { 9, STR_INIT("x"), "error 3" },
    };
    Buf set AUTO(buf_done);
    GrpcReflection *reflection AUTO(grpc_reflection_free) = NULL;
    Err err;
    set_make(&set);
    CHECK_OK(grpc_reflection_new(buf_str(&set), &reflection, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Buf out AUTO(buf_done);
        buf_init(&out, BYTES_MAX);
        tell(reflection, rows[i].number, rows[i].value, &out);
        CHECK_STR(buf_str(&out), str_z(rows[i].wanted));
    }
}

TEST(grpc_reflection_refuses_what_is_no_descriptor)
{
    Buf set AUTO(buf_done);
    GrpcReflection *reflection = NULL;
    set_make(&set);
    size_t refused = 0;
    for (size_t cut = 0; cut < set.len; cut++) {
        Code code = grpc_reflection_new(str_sub(buf_str(&set), 0, cut), &reflection, NULL);
        refused += code != E_OK;
        grpc_reflection_free(&reflection);
    }
    CHECK_INT(refused, set.len - 2); /* nothing, and the first file alone, are whole sets */
    Buf deep AUTO(buf_done), many AUTO(buf_done);
    buf_init(&deep, BYTES_MAX);
    buf_init(&many, BYTES_MAX);
    for (int i = 0; i < 40; i++) {
        Buf more = { 0 };
        buf_init(&more, BYTES_MAX);
        proto_put_message(&more, i < 38 ? 3 : i < 39 ? 4 : 1, buf_str(&deep));
        buf_done(&deep);
        deep = more;
    }
    CHECK_CODE(grpc_reflection_new(buf_str(&deep), &reflection, NULL), E_LIMIT);
    for (int i = 0; i <= GRPC_REFLECTION_FILES_MAX; i++)
        proto_put_message(&many, 1, b_proto);
    CHECK_CODE(grpc_reflection_new(buf_str(&many), &reflection, NULL), E_LIMIT);
}
