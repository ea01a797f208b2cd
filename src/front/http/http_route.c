/* Routes on the raw path, segment by segment; only what stands in braces is decoded. */
#include "front/http/http_priv.h"

#include <string.h>

static bool is_arg(Str segment)
{
    return segment.len > 2 && segment.ptr[0] == '{';
}

/* Of the first two segments of a path, as they stand; never 0. */
static uint32_t key_of(Str path)
{
    uint32_t key = 2166136261u;
    unsigned slashes = 0;
    for (size_t i = 0; i < path.len; i++) {
        slashes += path.ptr[i] == '/';
        if (slashes == 3)
            break;
        key = (key ^ (uint8_t)path.ptr[i]) * 16777619u;
    }
    return key | 1;
}

uint32_t route_key(const RouteShape *shape, const char *path)
{
    for (size_t i = 0; i < MIN(shape->count, (size_t)2); i++) {
        if (is_arg(shape->segments[i]))
            return 0;
    }
    return key_of(str_z(path));
}

Code route_shape_parse(const char *path, RouteShape *ret_shape, Err *err)
{
    RouteShape shape = { 0 };
    Str rest = str_from(str_z(path), 1), part;
    size_t args = 0;
    if (path[0] != '/')
        return err_set(err, E_INTERNAL, "the route '%s' does not begin with a slash", path);
    while (str_split(&rest, '/', &part)) {
        bool is_arg = part.len > 2 && part.ptr[0] == '{' && part.ptr[part.len - 1] == '}';
        args += is_arg;
        if (shape.count == HTTP_SEGMENTS_MAX || args > HTTP_ARGS_MAX || shape.takes_rest)
            return err_set(err, E_INTERNAL, "the route '%s' has too many parts", path);
        shape.takes_rest = is_arg && part.ptr[part.len - 2] == '*';
        shape.segments[shape.count++] = part;
    }
    *ret_shape = shape;
    return E_OK;
}

static bool shape_matches(const RouteShape *shape, Str path)
{
    Str rest = str_from(path, 1), part = STR_NONE;
    if (!str_starts(path, STR("/")))
        return false;
    for (size_t i = 0; i < shape->count; i++) {
        if (shape->takes_rest && i + 1 == shape->count)
            return rest.ptr != NULL && rest.len > 0;
        if (rest.ptr == NULL || !str_split(&rest, '/', &part))
            part = STR_NONE;
        if (part.ptr == NULL && !(shape->segments[i].len == 0))
            return false;
        if (is_arg(shape->segments[i]) ? part.len == 0 : !str_eq(part, shape->segments[i]))
            return false;
    }
    return rest.ptr == NULL || (shape->count == 0 && rest.len == 0);
}

/* False: a `%` that is no escape. */
static bool args_take(HttpReq *r, const RouteShape *shape)
{
    Str rest = str_from(r->head.path, 1), part = STR_NONE;
    for (size_t i = 0; i < shape->count; i++) {
        bool whole = shape->takes_rest && i + 1 == shape->count;
        Str name = shape->segments[i];
        if (whole)
            part = rest;
        else if (!str_split(&rest, '/', &part))
            return true;
        if (!is_arg(name))
            continue;
        HttpArg *arg = &r->args[r->arg_count++];
        arg->name = str_sub(name, 1, name.len - (whole ? 3 : 2));
        if (!url_decode(&r->arena, part, &arg->value))
            return false;
    }
    return true;
}

/* Each method stands once in Allow, however many routes have it. */
static void allow_put(Buf *allow, Str method)
{
    Str rest = buf_str(allow), there;
    while (str_split(&rest, ',', &there)) {
        if (str_eq(str_trim(there), method))
            return;
    }
    buf_format(allow, "%s" STR_FMT, allow->len ? ", " : "", STR_ARG(method));
}

/* OPTIONS of the server as a whole: RFC 9110 9.3.7. */
static Str all_methods(HttpReq *r)
{
    const HttpOptions *options = &r->server->options;
    Buf allow;
    buf_init(&allow, 1024);
    for (size_t i = 0; i < options->route_count; i++)
        allow_put(&allow, str_z(options->routes[i].method));
    allow_put(&allow, STR("HEAD"));
    allow_put(&allow, STR("OPTIONS"));
    Str text = str_copy(&r->arena, buf_str(&allow));
    buf_done(&allow);
    return text;
}

bool route_find(HttpReq *r)
{
    const HttpServer *server = r->server;
    Str method = r->head.method;
    Buf allow;
    bool get = str_eq(method, STR("HEAD")) || r->protocol.ptr;
    if (r->head.form == HTTP_ASTERISK) {
        r->allow = all_methods(r);
        return false;
    }
    uint32_t key = key_of(r->head.path);
    buf_init(&allow, 1024);
    for (size_t i = 0; i < server->options.route_count; i++) {
        const HttpRoute *route = &server->options.routes[i];
        if ((server->route_keys[i] != key && server->route_keys[i] != 0) ||
            !shape_matches(&server->shapes[i], r->head.path))
            continue;
        bool same = str_eq(str_z(route->method), get ? STR("GET") : method);
        if (same && args_take(r, &server->shapes[i])) {
            r->route = route;
            r->stats_at = i;
            buf_done(&allow);
            return true;
        }
        r->arg_count = 0;
        allow_put(&allow, str_z(route->method));
        if (strcmp(route->method, "GET") == 0)
            allow_put(&allow, STR("HEAD"));
    }
    if (allow.len > 0)
        allow_put(&allow, STR("OPTIONS"));
    r->allow = str_copy(&r->arena, buf_str(&allow));
    buf_done(&allow);
    return false;
}
