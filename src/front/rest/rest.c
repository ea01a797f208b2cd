/* The door: its table, the rights, what handlers share. */
#include "front/rest/rest_priv.h"

enum {
    PLAIN = 0,
    ALWAYS = HTTP_ROUTE_NO_RATE | HTTP_ROUTE_NO_ADMIT,
    SECRET = HTTP_ROUTE_NO_COMPRESS
};

/* Lists, pages and plans may be long. Objects and rows of statements ask for each of their blocks. */
static size_t room_of(HttpReq *r)
{
    const HttpRoute *route = http_req_route(r);
    const RestMore *more = route->more;
    bool may_be_long = str_eq(str_z(route->method), STR("GET")) || route->lane == HTTP_ON_QUERY_WORKER;
    bool in_blocks = route->on_end == rest_object || more->once == rest_sql;
    return may_be_long && !in_blocks && !(route->flags & HTTP_ROUTE_NO_ADMIT) ? HTTP_PULL_BYTES : 0;
}

#define ROUTE(method_, path_, name_, flags_, right_, lane_, body_, timeout_, head_, block_, end_, free_, \
              once_, query_, doc_)                                                                 \
    { .method = method_, .path = path_, .name = #name_, .flags = flags_, .right = right_,          \
      .lane = lane_, .room_of = room_of, .body_max = body_, .timeout_ms = timeout_,                \
      .on_head = head_, .on_body = block_, .on_end = end_,                                         \
      .on_free = free_, .doc = doc_, .more = &(const RestMore){ once_, query_ } },
const HttpRoute rest_routes[] = {
#include "front/rest/routes.def"
};
#undef ROUTE
const size_t rest_route_count = ARRAY_LEN(rest_routes);

static Code authorize(HttpReq *r, Err *err)
{
    ApiCall *call = rest_call(r);
    Str header = http_req_header(r, "Authorization");
    Str bearer = str_istarts(header, STR("Bearer ")) ? str_trim(str_from(header, 7)) : STR_NONE;
    TRY(api_enter(call, bearer, (ApiRight)http_req_route(r)->right, http_req_path(r), err));
    http_req_set_principal(r, call->principal.name);
    return E_OK;
}

Code rest_start(const RestOptions *options, RestServer **ret_rest, Err *err)
{
    RestServer *rest AUTO(rest_free) = mem_new(sizeof *rest);
    rest->lake = options->lake;
    HttpOptions http = { .listen = options->listen, .loops = options->loops,
                         .io_workers = options->io_workers, .query_workers = options->query_workers };
    if (options->http)
        http = *options->http;
    http.os = options->lake->os;
    http.routes = rest_routes;
    http.route_count = rest_route_count;
    http.context = rest;
    http.authorize = authorize;
    for (size_t i = 0; i < http.listener_count && !rest->tls; i++)
        rest->tls = http.listeners[i].tls;
    rest_set_tiers(rest, options->tier_reader, options->tier_admin);
    TRY(http_server_start(&http, &rest->http, err));
    *ret_rest = TAKE(rest);
    return E_OK;
}

Str rest_address(const RestServer *rest)
{
    return http_server_address(rest->http);
}

HttpServer *rest_http(RestServer *rest)
{
    return rest->http;
}

int rest_tier(HttpReq *r)
{
    const RestServer *rest = http_req_context(r);
    const ApiCall *call = http_req_user(r);
    if (!call)
        return -1;
    return atomic_load(call->principal.role == ROLE_ADMIN ? &rest->tier_admin : &rest->tier_reader);
}

void rest_set_tiers(RestServer *rest, int reader, int admin)
{
    atomic_store(&rest->tier_reader, reader);
    atomic_store(&rest->tier_admin, admin);
}

bool rest_drain(RestServer *rest, uint32_t wait_ms)
{
    return http_server_drain(rest->http, wait_ms);
}

void rest_free(RestServer **rest_at)
{
    RestServer *rest = TAKE(*rest_at);
    if (!rest)
        return;
    http_server_free(&rest->http);
    mem_free(&rest);
}

ApiCall *rest_call(HttpReq *r)
{
    ApiCall *call = http_req_user(r);
    if (call)
        return call;
    call = arena_new(http_req_arena(r), ApiCall);
    call->lake = ((RestServer *)http_req_context(r))->lake;
    call->arena = http_req_arena(r);
    call->request_id = http_req_id(r);
    call->timeout_ms = http_req_timeout_ms(r);
    call->cancel = http_req_cancel_flag(r);
    http_req_set_user(r, call);
    return call;
}

Str rest_query(const HttpReq *r, const char *name)
{
    Str value = STR_NONE;
    return http_req_query(r, name, &value) ? value : STR_NONE;
}

Code rest_number(HttpReq *r, const char *name, int64_t fallback, int64_t *ret_number, Err *err)
{
    Str text = rest_query(r, name);
    int64_t number = fallback;
    if (text.len > 0 && (!str_i64(text, &number) || number < 0))
        return err_set(err, E_INVALID, "?%s= wants a count, not '" STR_FMT "'", name, STR_ARG(text));
    *ret_number = number;
    return E_OK;
}

static Str dots_back(Arena *arena, Str part)
{
    char *copy = arena_alloc(arena, part.len + 1);
    for (size_t i = 0; i < part.len; i++)
        copy[i] = part.ptr[i] == '\x1f' ? '.' : part.ptr[i];
    return str_of(copy, part.len);
}

Code rest_dataset_name(HttpReq *r, Str *ret_ns, Str *ret_name, Err *err)
{
    Str id = http_req_arg(r, "id");
    ptrdiff_t dot = str_find_char(id, '.');
    if (dot <= 0 || (size_t)dot + 1 == id.len)
        return err_hint(err, err_set(err, E_INVALID, "'" STR_FMT "' is no dataset", STR_ARG(id)),
                        "write NAMESPACE.NAME; a dot inside a part is %%1F");
    *ret_ns = dots_back(http_req_arena(r), str_sub(id, 0, (size_t)dot));
    *ret_name = dots_back(http_req_arena(r), str_from(id, (size_t)dot + 1));
    return E_OK;
}

void rest_send(HttpReq *r, int status, Buf *take_out, Code code, const Err *err)
{
    if (code != E_OK) {
        buf_done(take_out);
        http_reply_problem(r, err);
        return;
    }
    http_reply_take(r, status, REST_JSON, take_out);
}

Str rest_media_type(HttpReq *r)
{
    Str type = http_req_header(r, "Content-Type");
    ptrdiff_t semicolon = str_find_char(type, ';');
    return str_trim(semicolon < 0 ? type : str_sub(type, 0, (size_t)semicolon));
}
