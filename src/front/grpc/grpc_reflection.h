/* grpc_reflection.h: grpc.reflection.v1 and v1alpha.ServerReflection, by which tools learn the services.
 * Owner:   whoever made the GrpcReflection; it outlives the server whose routes use it.
 * Threads: read-only once made.
 * Errors:  CORRUPT: the descriptors are no FileDescriptorSet; LIMIT.
 * Limits:  GRPC_REFLECTION_FILES_MAX, GRPC_REFLECTION_SYMBOLS_MAX, messages in messages 32 deep.
 * Units:   bytes. */
#pragma once

#include "front/grpc/grpc.h"

enum { GRPC_REFLECTION_FILES_MAX = 64, GRPC_REFLECTION_SYMBOLS_MAX = 4096 };

#define GRPC_REFLECTION_PATH "/grpc.reflection.v1.ServerReflection/{method}"
#define GRPC_REFLECTION_ALPHA_PATH "/grpc.reflection.v1alpha.ServerReflection/{method}"

typedef struct GrpcReflection GrpcReflection;

/* `descriptors` is what `protoc --descriptor_set_out --include_imports` writes; borrowed, it stays as long
 * as the result. All services in it are listed. */
Code grpc_reflection_new(Str descriptors, GrpcReflection **ret_reflection, Err *err) CHECKED;
void grpc_reflection_free(GrpcReflection **reflection);
/* From the handler of routes with both paths. */
void grpc_reflection_accept(GrpcReflection *reflection, HttpReq *r);

/* What a ServerReflectionRequest is answered; for tests and the fuzzer too. */
void grpc_reflection_answer(const GrpcReflection *reflection, Str request, Buf *out);
