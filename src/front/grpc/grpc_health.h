/* grpc_health.h: grpc.health.v1.Health, by which balancers and probes ask whether a service is there.
 * Owner:   whoever made the GrpcHealth; it outlives the server whose route uses it.
 * Threads: grpc_health_set from any.
 * Errors:  LIMIT: too many services; Check of an unknown service is NOT_FOUND, as the protocol says.
 * Limits:  GRPC_HEALTH_SERVICES_MAX services, names of GRPC_HEALTH_NAME_MAX bytes.
 * Units:   none. */
#pragma once

#include "front/grpc/grpc.h"

enum { GRPC_HEALTH_SERVICES_MAX = 64, GRPC_HEALTH_NAME_MAX = 200 };

#define GRPC_HEALTH_PATH "/grpc.health.v1.Health/{method}"

typedef enum GrpcServing { GRPC_SERVING = 1, GRPC_NOT_SERVING = 2, GRPC_SERVICE_UNKNOWN = 3 } GrpcServing;

typedef struct GrpcHealth GrpcHealth;

GrpcHealth *grpc_health_new(void);            /* the server as a whole (the empty name) is SERVING */
void grpc_health_free(GrpcHealth **health);
/* Those who watch the service are told. */
Code grpc_health_set(GrpcHealth *health, Str service, GrpcServing serving, Err *err) CHECKED;
/* From the handler of a route with GRPC_HEALTH_PATH. */
void grpc_health_accept(GrpcHealth *health, HttpReq *r);
