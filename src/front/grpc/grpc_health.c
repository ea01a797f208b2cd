/* Invariants:
 * 1. A Watch stands in the list from its call's message to its `freed`; whoever holds the mutex may post to
 *    the calls in the list.
 * 2. One post of a Watch is under way at most (`posted`). When the call goes meanwhile, the post finds `call`
 *    NULL and frees the Watch. */
#include "front/grpc/grpc_health.h"
#include "front/grpc/grpc_proto.h"
#include "os/thread.h"

#include <string.h>

enum { FIELD_SERVICE = 1, FIELD_STATUS = 1, REPLY_BYTES_MAX = 16 };

typedef struct Service {
    char name[GRPC_HEALTH_NAME_MAX];
    size_t len;
    GrpcServing serving;
} Service;

typedef struct Watch {
    LoopPost post; /* first */
    struct Watch *prev, *next;
    GrpcHealth *health;
    GrpcCall *call; /* NULL: it is gone */
    Str service;    /* in the call's arena */
    GrpcServing told;
    bool posted;
} Watch;

struct GrpcHealth {
    Mutex mutex; /* guards what follows */
    Service services[GRPC_HEALTH_SERVICES_MAX];
    size_t count;
    Watch watches; /* the list's head */
};

GrpcHealth *grpc_health_new(void)
{
    GrpcHealth *health = mem_new(sizeof *health);
    mutex_init(&health->mutex);
    health->watches.prev = health->watches.next = &health->watches;
    health->services[health->count++].serving = GRPC_SERVING;
    return health;
}

void grpc_health_free(GrpcHealth **health)
{
    if (!*health)
        return;
    ASSERT((*health)->watches.next == &(*health)->watches); /* the server is gone */
    mutex_done(&(*health)->mutex);
    mem_free(health);
}

/* Under the mutex; NULL: unknown. */
static Service *service_find(GrpcHealth *health, Str name)
{
    for (size_t i = 0; i < health->count; i++)
        if (str_eq(str_of(health->services[i].name, health->services[i].len), name))
            return &health->services[i];
    return NULL;
}

static GrpcServing serving_of(GrpcHealth *health, Str name)
{
    MUTEX_HELD(&health->mutex);
    const Service *service = service_find(health, name);
    return service ? service->serving : GRPC_SERVICE_UNKNOWN;
}

Code grpc_health_set(GrpcHealth *health, Str name, GrpcServing serving, Err *err)
{
    MUTEX_HELD(&health->mutex);
    Service *service = service_find(health, name);
    if (!service && (health->count == GRPC_HEALTH_SERVICES_MAX || name.len > GRPC_HEALTH_NAME_MAX))
        return err_set(err, E_LIMIT, "health of %d services, names of %d bytes", GRPC_HEALTH_SERVICES_MAX,
                       GRPC_HEALTH_NAME_MAX);
    if (!service) {
        service = &health->services[health->count++];
        service->len = name.len;
        memcpy(service->name, name.ptr, name.len);
    }
    service->serving = serving;
    for (Watch *w = health->watches.next; w != &health->watches; w = w->next)
        if (!w->posted && str_eq(w->service, name)) {
            w->posted = true;
            grpc_post(w->call, &w->post);
        }
    return E_OK;
}

/* ---- the methods ---- */

/* False: the bytes are no HealthCheckRequest, and the call is finished. */
static bool request_take(GrpcCall *call, Str message, Str *ret_service)
{
    Reader reader = reader_of(message);
    ProtoField field;
    Str service = STR_NONE;
    while (proto_next(&reader, &field))
        if (field.number == FIELD_SERVICE && field.is_bytes)
            service = field.bytes;
    if (reader_ok(&reader)) {
        *ret_service = service;
        return true;
    }
    grpc_finish(call, GRPC_INTERNAL, STR("the bytes are no HealthCheckRequest"));
    return false;
}

static void serving_send(GrpcCall *call, GrpcServing serving)
{
    Buf out AUTO(buf_done);
    buf_init(&out, REPLY_BYTES_MAX);
    proto_put_varint(&out, FIELD_STATUS, (uint64_t)serving);
    grpc_send(call, buf_str(&out));
}

static void check_message(GrpcCall *call, Str message)
{
    Str service;
    if (!request_take(call, message, &service))
        return;
    GrpcServing serving = serving_of(grpc_context(call), service);
    if (serving == GRPC_SERVICE_UNKNOWN) {
        grpc_finish(call, GRPC_NOT_FOUND, STR("unknown service"));
        return;
    }
    serving_send(call, serving);
    grpc_finish(call, GRPC_OK, STR_NONE);
}

static void watch_tell(Watch *watch)
{
    GrpcServing serving = serving_of(watch->health, watch->service);
    if (serving != watch->told && watch->call)
        serving_send(watch->call, serving);
    watch->told = serving;
}

static void watch_posted(LoopPost *post)
{
    Watch *watch = (Watch *)post;
    mutex_lock(&watch->health->mutex);
    watch->posted = false;
    mutex_unlock(&watch->health->mutex);
    if (watch->call)
        watch_tell(watch);
    else
        mem_free(&watch);
}

static void watch_message(GrpcCall *call, Str message)
{
    Str service;
    if (!request_take(call, message, &service))
        return;
    Watch *watch = mem_new(sizeof *watch);
    GrpcHealth *health = watch->health = grpc_context(call);
    watch->post.run = watch_posted;
    watch->call = call;
    watch->service = str_copy(grpc_arena(call), service);
    grpc_set_self(call, watch);
    mutex_lock(&health->mutex);
    watch->next = &health->watches;
    watch->prev = health->watches.prev;
    watch->prev->next = watch->next->prev = watch;
    mutex_unlock(&health->mutex);
    watch_tell(watch);
}

static void watch_drain(GrpcCall *call)
{
    grpc_finish(call, GRPC_UNAVAILABLE, STR("the server ends"));
}

static void watch_freed(GrpcCall *call)
{
    Watch *watch = grpc_self(call);
    if (!watch)
        return;
    mutex_lock(&watch->health->mutex);
    watch->prev->next = watch->next;
    watch->next->prev = watch->prev;
    watch->call = NULL;
    bool posted = watch->posted;
    mutex_unlock(&watch->health->mutex);
    if (!posted)
        mem_free(&watch);
}

static const GrpcMethod methods[] = {
    { "/grpc.health.v1.Health/Check", GRPC_UNARY, .message_max = 4096, .message = check_message },
    { "/grpc.health.v1.Health/Watch", GRPC_SERVER_STREAM, .message_max = 4096,
      .message = watch_message, .drain = watch_drain, .freed = watch_freed },
};

void grpc_health_accept(GrpcHealth *health, HttpReq *r)
{
    grpc_accept(r, methods, ARRAY_LEN(methods), health);
}
