/* Invariants:
 * 1. Everything in the index borrows from the descriptors, but full names, which live in the arena.
 * 2. A file's dependencies come with it, each once: `seen` bounds the walk also where imports make a circle. */
#include "front/grpc/grpc_reflection.h"
#include "front/grpc/grpc_proto.h"
#include "base/vec.h"

enum {
    /* descriptor.proto */
    SET_FILE = 1,
    FILE_NAME = 1, FILE_PACKAGE = 2, FILE_DEPENDENCY = 3, FILE_MESSAGE = 4, FILE_ENUM = 5, FILE_SERVICE = 6,
    FILE_EXTENSION = 7,
    MESSAGE_NAME = 1, MESSAGE_NESTED = 3, MESSAGE_ENUM = 4, MESSAGE_EXTENSION = 6,
    NAME = 1, /* of enums, services, methods, extensions */
    SERVICE_METHOD = 2,
    EXTENSION_EXTENDEE = 2, EXTENSION_NUMBER = 3,
    /* reflection.proto */
    ASK_FILE = 3, ASK_SYMBOL = 4, ASK_EXTENSION = 5, ASK_NUMBERS = 6, ASK_SERVICES = 7,
    EXTENSION_TYPE = 1, EXTENSION_NUMBER_ASKED = 2,
    ANSWER_HOST = 1, ANSWER_REQUEST = 2, ANSWER_FILES = 4, ANSWER_NUMBERS = 5, ANSWER_SERVICES = 6,
    ANSWER_ERROR = 7,
    FILES_FILE = 1, NUMBERS_TYPE = 1, NUMBERS_NUMBER = 2, SERVICES_SERVICE = 1,
    ERROR_CODE = 1, ERROR_MESSAGE = 2,
    DEPTH_MAX = 32,
    ANSWER_MAX = 16 << 20
};

typedef struct Symbol {
    Str name;
    size_t file;
    bool is_service;
} Symbol;

typedef struct Extension {
    Str extendee;
    uint64_t number;
    size_t file;
} Extension;

struct GrpcReflection {
    Arena arena;
    Str files[GRPC_REFLECTION_FILES_MAX];
    Str file_names[GRPC_REFLECTION_FILES_MAX];
    size_t file_count;
    Vec(Symbol) symbols;
    Vec(Extension) extensions;
};

/* ---- the index ---- */

static Code symbol_add(GrpcReflection *refl, Str scope, Str name, bool is_service, Str *ret_full, Err *err)
{
    if (refl->symbols.len == GRPC_REFLECTION_SYMBOLS_MAX)
        return err_set(err, E_LIMIT, "more than %d symbols in descriptors", GRPC_REFLECTION_SYMBOLS_MAX);
    *ret_full = scope.len == 0 ? str_copy(&refl->arena, name)
                               : str_format(&refl->arena, STR_FMT "." STR_FMT, STR_ARG(scope), STR_ARG(name));
    vec_push(&refl->symbols, (Symbol){ *ret_full, refl->file_count, is_service });
    return E_OK;
}

static Code extension_add(GrpcReflection *refl, Str extension, Err *err)
{
    Reader reader = reader_of(extension);
    ProtoField field;
    Extension found = { .file = refl->file_count };
    while (proto_next(&reader, &field)) {
        if (field.number == EXTENSION_EXTENDEE && field.is_bytes)
            found.extendee = str_starts(field.bytes, STR(".")) ? str_from(field.bytes, 1) : field.bytes;
        else if (field.number == EXTENSION_NUMBER && !field.is_bytes)
            found.number = field.value;
    }
    if (refl->extensions.len == GRPC_REFLECTION_SYMBOLS_MAX)
        return err_set(err, E_LIMIT, "more than %d extensions in descriptors", GRPC_REFLECTION_SYMBOLS_MAX);
    vec_push(&refl->extensions, found);
    return reader_check(&reader, "extension", err);
}

static Code message_add(GrpcReflection *refl, Str scope, Str message, unsigned depth, Err *err)
{
    Reader reader = reader_of(message);
    ProtoField field;
    Str full, ignored;
    if (depth > DEPTH_MAX)
        return err_set(err, E_LIMIT, "messages in messages more than %d deep", DEPTH_MAX);
    TRY(symbol_add(refl, scope, proto_bytes(message, MESSAGE_NAME), false, &full, err));
    while (proto_next(&reader, &field)) {
        if (!field.is_bytes)
            continue;
        if (field.number == MESSAGE_NESTED)
            TRY(message_add(refl, full, field.bytes, depth + 1, err));
        else if (field.number == MESSAGE_ENUM)
            TRY(symbol_add(refl, full, proto_bytes(field.bytes, NAME), false, &ignored, err));
        else if (field.number == MESSAGE_EXTENSION)
            TRY(extension_add(refl, field.bytes, err));
    }
    return reader_check(&reader, "message descriptor", err);
}

static Code service_add(GrpcReflection *refl, Str package, Str service, Err *err)
{
    Reader reader = reader_of(service);
    ProtoField field;
    Str full, ignored;
    TRY(symbol_add(refl, package, proto_bytes(service, NAME), true, &full, err));
    while (proto_next(&reader, &field))
        if (field.number == SERVICE_METHOD && field.is_bytes)
            TRY(symbol_add(refl, full, proto_bytes(field.bytes, NAME), false, &ignored, err));
    return reader_check(&reader, "service descriptor", err);
}

static Code file_add(GrpcReflection *refl, Str file, Err *err)
{
    Reader reader = reader_of(file);
    ProtoField field;
    Str package = proto_bytes(file, FILE_PACKAGE), ignored;
    if (refl->file_count == GRPC_REFLECTION_FILES_MAX)
        return err_set(err, E_LIMIT, "more than %d files in descriptors", GRPC_REFLECTION_FILES_MAX);
    refl->files[refl->file_count] = file;
    refl->file_names[refl->file_count] = proto_bytes(file, FILE_NAME);
    while (proto_next(&reader, &field)) {
        if (!field.is_bytes)
            continue;
        if (field.number == FILE_MESSAGE)
            TRY(message_add(refl, package, field.bytes, 0, err));
        else if (field.number == FILE_ENUM)
            TRY(symbol_add(refl, package, proto_bytes(field.bytes, NAME), false, &ignored, err));
        else if (field.number == FILE_SERVICE)
            TRY(service_add(refl, package, field.bytes, err));
        else if (field.number == FILE_EXTENSION)
            TRY(extension_add(refl, field.bytes, err));
    }
    refl->file_count++;
    return reader_check(&reader, "file descriptor", err);
}

Code grpc_reflection_new(Str descriptors, GrpcReflection **ret_reflection, Err *err)
{
    GrpcReflection *refl AUTO(grpc_reflection_free) = mem_new(sizeof *refl);
    Reader reader = reader_of(descriptors);
    ProtoField field;
    while (proto_next(&reader, &field))
        if (field.number == SET_FILE && field.is_bytes)
            TRY(file_add(refl, field.bytes, err));
    TRY(reader_check(&reader, "descriptor set", err));
    *ret_reflection = TAKE(refl);
    return E_OK;
}

void grpc_reflection_free(GrpcReflection **reflection)
{
    if (!*reflection)
        return;
    vec_done(&(*reflection)->symbols);
    vec_done(&(*reflection)->extensions);
    arena_done(&(*reflection)->arena);
    mem_free(reflection);
}

/* ---- answers ---- */

static size_t file_named(const GrpcReflection *refl, Str name)
{
    size_t at = 0;
    while (at < refl->file_count && !str_eq(refl->file_names[at], name))
        at++;
    return at;
}

static size_t file_of_symbol(const GrpcReflection *refl, Str name)
{
    for (size_t i = 0; i < refl->symbols.len; i++)
        if (str_eq(refl->symbols.items[i].name, name))
            return refl->symbols.items[i].file;
    return refl->file_count;
}

static size_t file_of_extension(const GrpcReflection *refl, Str asked)
{
    Reader reader = reader_of(asked);
    ProtoField field;
    uint64_t number = 0;
    Str type = proto_bytes(asked, EXTENSION_TYPE);
    while (proto_next(&reader, &field))
        if (field.number == EXTENSION_NUMBER_ASKED && !field.is_bytes)
            number = field.value;
    for (size_t i = 0; i < refl->extensions.len; i++)
        if (str_eq(refl->extensions.items[i].extendee, type) && refl->extensions.items[i].number == number)
            return refl->extensions.items[i].file;
    return refl->file_count;
}

static void error_put(Buf *out, GrpcStatus status, Str text)
{
    Buf error AUTO(buf_done);
    buf_init(&error, ANSWER_MAX);
    proto_put_varint(&error, ERROR_CODE, (uint64_t)status);
    proto_put_bytes(&error, ERROR_MESSAGE, text);
    proto_put_message(out, ANSWER_ERROR, buf_str(&error));
}

/* The file and what it imports, each before those that it imports. */
static void files_put(const GrpcReflection *refl, size_t file, Buf *out)
{
    if (file == refl->file_count) {
        error_put(out, GRPC_NOT_FOUND, STR("not found"));
        return;
    }
    size_t queue[GRPC_REFLECTION_FILES_MAX], count = 0;
    bool seen[GRPC_REFLECTION_FILES_MAX + 1] = { false };
    Buf files AUTO(buf_done);
    buf_init(&files, ANSWER_MAX);
    queue[count++] = file;
    seen[file] = seen[refl->file_count] = true;
    for (size_t i = 0; i < count; i++) {
        Reader reader = reader_of(refl->files[queue[i]]);
        ProtoField field;
        proto_put_message(&files, FILES_FILE, refl->files[queue[i]]);
        while (proto_next(&reader, &field)) {
            size_t next = field.number == FILE_DEPENDENCY && field.is_bytes ? file_named(refl, field.bytes)
                                                                           : refl->file_count;
            if (!seen[next])
                queue[count++] = next;
            seen[next] = true;
        }
    }
    proto_put_message(out, ANSWER_FILES, buf_str(&files));
}

static void numbers_put(const GrpcReflection *refl, Str type, Buf *out)
{
    if (file_of_symbol(refl, type) == refl->file_count) {
        error_put(out, GRPC_NOT_FOUND, STR("not found"));
        return;
    }
    Buf numbers AUTO(buf_done);
    buf_init(&numbers, ANSWER_MAX);
    proto_put_bytes(&numbers, NUMBERS_TYPE, type);
    for (size_t i = 0; i < refl->extensions.len; i++)
        if (str_eq(refl->extensions.items[i].extendee, type))
            proto_put_varint(&numbers, NUMBERS_NUMBER, refl->extensions.items[i].number);
    proto_put_message(out, ANSWER_NUMBERS, buf_str(&numbers));
}

static void services_put(const GrpcReflection *refl, Buf *out)
{
    Buf services AUTO(buf_done), service AUTO(buf_done);
    buf_init(&services, ANSWER_MAX);
    buf_init(&service, ANSWER_MAX);
    for (size_t i = 0; i < refl->symbols.len; i++) {
        if (!refl->symbols.items[i].is_service)
            continue;
        buf_clear(&service);
        proto_put_bytes(&service, NAME, refl->symbols.items[i].name);
        proto_put_message(&services, SERVICES_SERVICE, buf_str(&service));
    }
    proto_put_message(out, ANSWER_SERVICES, buf_str(&services));
}

void grpc_reflection_answer(const GrpcReflection *refl, Str request, Buf *out)
{
    Reader reader = reader_of(request);
    ProtoField field, asked = { 0 };
    while (proto_next(&reader, &field))
        if (field.number >= ASK_FILE && field.number <= ASK_SERVICES && field.is_bytes)
            asked = field;
    proto_put_bytes(out, ANSWER_HOST, proto_bytes(request, 1));
    proto_put_message(out, ANSWER_REQUEST, request);
    switch (asked.number) {
    case ASK_FILE:
        files_put(refl, file_named(refl, asked.bytes), out);
        return;
    case ASK_SYMBOL:
        files_put(refl, file_of_symbol(refl, asked.bytes), out);
        return;
    case ASK_EXTENSION:
        files_put(refl, file_of_extension(refl, asked.bytes), out);
        return;
    case ASK_NUMBERS:
        numbers_put(refl, asked.bytes, out);
        return;
    case ASK_SERVICES:
        services_put(refl, out);
        return;
    default:
        error_put(out, GRPC_INVALID_ARGUMENT, STR("nothing known is asked"));
    }
}

static void info_message(GrpcCall *call, Str message)
{
    Reader reader = reader_of(message);
    ProtoField field;
    while (proto_next(&reader, &field)) {
    } /* only whether it is whole */
    if (!reader_ok(&reader)) {
        grpc_finish(call, GRPC_INTERNAL, STR("the bytes are no ServerReflectionRequest"));
        return;
    }
    Buf out AUTO(buf_done);
    buf_init(&out, ANSWER_MAX);
    grpc_reflection_answer(grpc_context(call), message, &out);
    grpc_send(call, buf_str(&out));
}

static void info_ended(GrpcCall *call)
{
    grpc_finish(call, GRPC_OK, STR_NONE);
}

static void info_drain(GrpcCall *call)
{
    grpc_finish(call, GRPC_UNAVAILABLE, STR("the server ends"));
}

#define INFO .message_max = 64 << 10, .message = info_message, .ended = info_ended, .drain = info_drain

static const GrpcMethod methods[] = {
    { "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", GRPC_BIDI, INFO },
    { "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", GRPC_BIDI, INFO },
};

void grpc_reflection_accept(GrpcReflection *reflection, HttpReq *r)
{
    grpc_accept(r, methods, ARRAY_LEN(methods), reflection);
}
