/* gRPC: messages are the same whole and byte by byte, and written again they are the bytes that were read;
 * header texts are read as they were written; reflection answers any request about any descriptors with a
 * message. The first byte chooses. */
#include "front/grpc/grpc_frame.h"
#include "front/grpc/grpc_proto.h"
#include "front/grpc/grpc_reflection.h"
#include "front/grpc/grpc_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { MESSAGE_MAX = 4 << 10, OUT_MAX = 64 << 20, CHOICE_TEXT = 0x80, CHOICE_REFLECTION = 0xC0 };

static GrpcStep read_all(size_t message_max, Str in, size_t piece, Buf *out, bool *ret_between)
{
    GrpcReader reader;
    grpc_reader_init(&reader, message_max);
    GrpcStep step = GRPC_MORE;
    while (in.len > 0 && step <= GRPC_MESSAGE) {
        Str part = str_sub(in, 0, piece), message;
        in = str_from(in, part.len);
        while ((step = grpc_reader_next(&reader, &part, &message)) == GRPC_MESSAGE) {
            ASSERT(message.len <= message_max);
            grpc_frame_put(out, message);
        }
        ASSERT(step > GRPC_MESSAGE || part.len == 0);
        ASSERT(reader.bytes.cap <= MAX(message_max, (size_t)64));
    }
    *ret_between = grpc_reader_between(&reader);
    grpc_reader_done(&reader);
    return step;
}

static void fuzz_frames(uint8_t choice, Str in)
{
    size_t message_max = choice & 1 ? MESSAGE_MAX : choice;
    bool between, between_bytewise;
    Buf whole AUTO(buf_done), bytewise AUTO(buf_done);
    buf_init(&whole, OUT_MAX);
    buf_init(&bytewise, OUT_MAX);
    GrpcStep step = read_all(message_max, in, SIZE_MAX, &whole, &between);
    ASSERT(read_all(message_max, in, 1, &bytewise, &between_bytewise) == step);
    ASSERT(str_eq(buf_str(&whole), buf_str(&bytewise)) && between == between_bytewise);
    ASSERT(str_starts(in, buf_str(&whole)));
    ASSERT(!between || whole.len == in.len);
}

static void fuzz_text(Str in)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf encoded AUTO(buf_done), decoded AUTO(buf_done), binary AUTO(buf_done);
    buf_init(&encoded, OUT_MAX);
    buf_init(&decoded, OUT_MAX);
    buf_init(&binary, OUT_MAX);
    grpc_message_put(&encoded, in);
    for (size_t i = 0; i < encoded.len; i++)
        ASSERT(encoded.ptr[i] >= 0x20 && encoded.ptr[i] <= 0x7E);
    grpc_message_decode(&decoded, buf_str(&encoded));
    ASSERT(str_eq(buf_str(&decoded), in));
    buf_clear(&decoded);
    grpc_message_decode(&decoded, in);
    ASSERT(decoded.len <= in.len);
    Str back;
    grpc_bin_put(&binary, in);
    ASSERT(grpc_bin_parse(&arena, buf_str(&binary), &back) && str_eq(back, in));
    IGNORE(grpc_bin_parse(&arena, in, &back));
    int64_t us;
    if (grpc_timeout_parse(in, &us))
        ASSERT(us >= 0 && in.len <= 9);
    IGNORE(grpc_type_is(in));
}

/* Two bytes tell how much of the input is the descriptors; the rest is a request. */
static void fuzz_reflection(Str in)
{
    GrpcReflection *reflection AUTO(grpc_reflection_free) = NULL;
    Buf answer AUTO(buf_done);
    buf_init(&answer, OUT_MAX);
    size_t cut = in.len < 2 ? 0 : (size_t)(uint8_t)in.ptr[0] << 8 | (uint8_t)in.ptr[1];
    Str request = str_from(str_from(in, 2), cut);
    if (in.len < 2 || grpc_reflection_new(str_sub(in, 2, cut), &reflection, NULL) != E_OK)
        return;
    grpc_reflection_answer(reflection, request, &answer);
    Reader reader = reader_of(buf_str(&answer));
    ProtoField field;
    size_t kinds = 0;
    while (proto_next(&reader, &field))
        kinds += field.number >= 4;
    ASSERT(reader_ok(&reader) && kinds == 1 && !answer.over);
    ASSERT(str_eq(proto_bytes(buf_str(&answer), 2), request));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    if (bytes[0] == CHOICE_REFLECTION) {
        fuzz_reflection(str_of(bytes + 1, len - 1));
        return 0;
    }
    if (bytes[0] & CHOICE_TEXT)
        fuzz_text(str_of(bytes + 1, len - 1));
    else
        fuzz_frames(bytes[0], str_of(bytes + 1, len - 1));
    return 0;
}
