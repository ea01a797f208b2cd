/* `tarn key`: bearer keys, principals, access keys. A verb is a row of one table. */
#include "base/text.h"
#include "format/json.h"
#include "main/command.h"

#include <stdio.h>
#include <string.h>

const OptionRow key_options[] = {
    { "--role", "ROLE", "data_viewer (default), data_scientist, data_engineer or admin" },
    { "--expires", "WHEN", "90d, 12h, a date or time, or `never` (default)" },
    { "--overlap", "TIME", "how long `access rotate` leaves the old key: 24h (default), 0, at most 30d" },
    { "--disable", NULL, "`principal set`: its keys open nothing any more" },
    { "--enable", NULL, "`principal set`: they do again" },
    { NULL, NULL, NULL },
};

enum { KEY_BODY_MAX = 1 << 16 };

/* ---- times ---- */

/* "90d", "12h", "15m", "30s", "0" in seconds. */
static bool span_parse(Str text, int64_t *ret_seconds)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    enum { SPAN_DAYS_MAX = 36500 };
    int64_t count;
    if (str_eq(text, STR("0"))) {
        *ret_seconds = 0;
        return true;
    }
    for (size_t i = 0; text.len > 1 && i < ARRAY_LEN(units); i++) {
        if (text.ptr[text.len - 1] != units[i].unit || !str_i64(str_sub(text, 0, text.len - 1), &count) ||
            count < 0 || count > (int64_t)SPAN_DAYS_MAX * 86400 / units[i].seconds)
            continue;
        *ret_seconds = count * units[i].seconds;
        return true;
    }
    return false;
}

/* A span goes as it is: the server counts from its own clock. */
static Code expires_put(const Args *args, JsonWriter *w, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str text = args_get(args, "--expires");
    int64_t seconds, time_us = 0;
    if (span_parse(text, &seconds)) {
        json_field_i64(w, "expires_s", seconds);
        return E_OK;
    }
    json_key(w, STR("expires"));
    if (!text.len || str_eq(text, STR("never"))) {
        json_put_null(w);
        return E_OK;
    }
    if (!time_parse(text, &time_us))
        return err_hint(err, err_set(err, E_INVALID, "--expires " STR_FMT " is no time", STR_ARG(text)),
                        "write 90d, 12h, 2030-01-31, 2030-01-31T12:00:00Z or never");
    json_put_str(w, time_format(&tmp, time_us));
    return E_OK;
}

/* ---- requests ---- */

typedef struct KeyCall {
    const Args *args;
    Client *client;
    Arena *tmp;
} KeyCall;

static Str path_of(KeyCall *call, const char *front, Str name, const char *back)
{
    Buf path AUTO(buf_done) = { 0 };
    buf_init(&path, KEY_BODY_MAX);
    buf_put(&path, str_z(front));
    url_encode(&path, name, false);
    buf_put(&path, str_z(back));
    return str_copy(call->tmp, buf_str(&path));
}

/* Sends what stands in `body`; shows the answer, or `done` in its place. */
static Code key_send(KeyCall *call, const char *method, Str path, Buf *body, const char *done, Err *err)
{
    Buf answer AUTO(buf_done) = { 0 };
    buf_init(&answer, CLIENT_REPLY_MAX);
    ClientRequest request = { .method = method, .path = path, .content_type = STR("application/json"),
                              .body = body ? buf_str(body) : STR_NONE };
    TRY(client_call(call->client, &request, &answer, err));
    if (done && !args_has(call->args, "--json"))
        printf("%s " STR_FMT "\n", done, STR_ARG(call->args->words[call->args->count - 1]));
    else
        printf(STR_FMT "\n", STR_ARG(str_trim(buf_str(&answer))));
    return E_OK;
}

static Code named_put(KeyCall *call, Str name, Buf *body, Err *err)
{
    Str role = args_get(call->args, "--role");
    JsonWriter w = json_writer(body);
    json_begin_object(&w);
    json_field_str(&w, "name", name);
    json_field_str(&w, "role", role.len ? role : STR("data_viewer"));
    TRY(expires_put(call->args, &w, err));
    json_end_object(&w);
    return buf_end(body, "the request", err);
}

/* ---- verbs: the words that open one stand in the table ---- */

static Code bearer_list(KeyCall *call, Str name, Buf *body, Err *err)
{
    (void)name, (void)body;
    return command_show(call->args, STR("/v1/keys"), "items", "id,name,role,created,expires,revoked", err);
}

static Code bearer_create(KeyCall *call, Str name, Buf *body, Err *err)
{
    TRY(named_put(call, name, body, err));
    return key_send(call, NULL, STR("/v1/keys"), body, NULL, err);
}

static Code bearer_revoke(KeyCall *call, Str id, Buf *body, Err *err)
{
    (void)body;
    return key_send(call, "DELETE", path_of(call, "/v1/keys/", id, ""), NULL, "revoked", err);
}

static Code principal_list(KeyCall *call, Str name, Buf *body, Err *err)
{
    (void)name, (void)body;
    return command_show(call->args, STR("/v1/principals"), "items", "name,role,created,disabled", err);
}

static Code principal_create(KeyCall *call, Str name, Buf *body, Err *err)
{
    TRY(named_put(call, name, body, err));
    return key_send(call, NULL, STR("/v1/principals"), body, NULL, err);
}

static Code principal_set(KeyCall *call, Str name, Buf *body, Err *err)
{
    Str role = args_get(call->args, "--role");
    bool disable = args_has(call->args, "--disable"), enable = args_has(call->args, "--enable");
    if (disable == enable && !role.len)
        return err_hint(err, err_set(err, E_INVALID, "nothing of the principal '" STR_FMT "' is to be changed",
                                     STR_ARG(name)), "give --role ROLE, --disable or --enable");
    JsonWriter w = json_writer(body);
    json_begin_object(&w);
    if (role.len)
        json_field_str(&w, "role", role);
    if (disable != enable)
        json_field_bool(&w, "disabled", disable);
    json_end_object(&w);
    return key_send(call, NULL, path_of(call, "/v1/principals/", name, ""), body, NULL, err);
}

static Code access_list(KeyCall *call, Str name, Buf *body, Err *err)
{
    (void)body;
    return command_show(call->args, path_of(call, "/v1/access-keys?principal=", name, ""), "items",
                        "id,principal,state,created,expires,last_used,last_used_service,last_used_region",
                        err);
}

/* With --role the principal is made when it is not there; its role is never changed here. */
static Code access_create(KeyCall *call, Str name, Buf *body, Err *err)
{
    if (args_has(call->args, "--role")) {
        Buf made AUTO(buf_done) = { 0 };
        buf_init(&made, KEY_BODY_MAX);
        TRY(named_put(call, name, body, err));
        ClientRequest request = { .path = STR("/v1/principals"), .body = buf_str(body),
                                  .content_type = STR("application/json") };
        Code code = client_call(call->client, &request, &made, err);
        if (code == E_EXISTS)
            return err_hint(err, code, "leave --role out for another key of it, or change it with `tarn key "
                            "principal set " STR_FMT " --role ROLE`", STR_ARG(name));
        TRY(code);
        buf_clear(body);
    }
    JsonWriter w = json_writer(body);
    json_begin_object(&w);
    json_field_str(&w, "principal", name);
    TRY(expires_put(call->args, &w, err));
    json_end_object(&w);
    return key_send(call, NULL, STR("/v1/access-keys"), body, NULL, err);
}

static Code access_rotate(KeyCall *call, Str id, Buf *body, Err *err)
{
    Str text = args_get(call->args, "--overlap");
    int64_t seconds = 86400;
    if (text.len && !span_parse(text, &seconds))
        return err_hint(err, err_set(err, E_INVALID, "--overlap " STR_FMT " is no time", STR_ARG(text)),
                        "write 24h, 30m or 0, at most 30d");
    JsonWriter w = json_writer(body);
    json_begin_object(&w);
    json_field_i64(&w, "overlap_s", seconds);
    TRY(expires_put(call->args, &w, err));
    json_end_object(&w);
    return key_send(call, NULL, path_of(call, "/v1/access-keys/", id, "/rotate"), body, NULL, err);
}

static Code access_expire(KeyCall *call, Str id, Buf *body, Err *err)
{
    if (!args_has(call->args, "--expires"))
        return err_hint(err, err_set(err, E_INVALID, "when " STR_FMT " ends is not said", STR_ARG(id)),
                        "give --expires 7d, a date or `never`");
    JsonWriter w = json_writer(body);
    json_begin_object(&w);
    TRY(expires_put(call->args, &w, err));
    json_end_object(&w);
    return key_send(call, NULL, path_of(call, "/v1/access-keys/", id, ""), body, "changed", err);
}

static Code access_switch(KeyCall *call, Str id, Buf *body, bool disabled, Err *err)
{
    JsonWriter w = json_writer(body);
    json_begin_object(&w);
    json_field_bool(&w, "disabled", disabled);
    json_end_object(&w);
    return key_send(call, NULL, path_of(call, "/v1/access-keys/", id, ""), body,
                    disabled ? "disabled" : "enabled", err);
}

static Code access_disable(KeyCall *call, Str id, Buf *body, Err *err)
{
    return access_switch(call, id, body, true, err);
}

static Code access_enable(KeyCall *call, Str id, Buf *body, Err *err)
{
    return access_switch(call, id, body, false, err);
}

static Code access_revoke(KeyCall *call, Str id, Buf *body, Err *err)
{
    (void)body;
    return key_send(call, "DELETE", path_of(call, "/v1/access-keys/", id, ""), NULL, "revoked", err);
}

typedef struct KeyVerb {
    const char *kind; /* "": of bearer keys */
    const char *word;
    bool named, may_be_named;
    Code (*run)(KeyCall *call, Str name, Buf *body, Err *err);
    const char *usage; /* behind the word */
} KeyVerb;

static const KeyVerb verbs[] = {
    { "", "list", false, false, bearer_list, "" },
    { "", "create", true, true, bearer_create, "NAME [--role ROLE] [--expires WHEN]" },
    { "", "revoke", true, true, bearer_revoke, "ID" },
    { "principal", "list", false, false, principal_list, "" },
    { "principal", "create", true, true, principal_create, "NAME [--role ROLE]" },
    { "principal", "set", true, true, principal_set, "NAME [--role ROLE] [--disable | --enable]" },
    { "access", "list", false, true, access_list, "[PRINCIPAL]" },
    { "access", "create", true, true, access_create, "PRINCIPAL [--role ROLE] [--expires WHEN]" },
    { "access", "rotate", true, true, access_rotate, "ID [--overlap TIME] [--expires WHEN]" },
    { "access", "expire", true, true, access_expire, "ID --expires WHEN" },
    { "access", "disable", true, true, access_disable, "ID" },
    { "access", "enable", true, true, access_enable, "ID" },
    { "access", "revoke", true, true, access_revoke, "ID" },
};

/* `ls` as buckets and objects have it. */
static bool word_is(Str word, const char *wanted)
{
    return str_eq(word, str_z(wanted)) || (str_eq(word, STR("ls")) && str_eq(str_z(wanted), STR("list")));
}

static Code verb_unknown(const char *kind, Str word, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str words = STR_NONE;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].kind, kind) == 0)
            words = str_format(&tmp, STR_FMT "%s ", STR_ARG(words), verbs[i].word);
    words = str_format(&tmp, STR_FMT "%s", STR_ARG(words), *kind ? "" : "principal access ");
    return command_word_refuse(*kind ? str_copy_z(&tmp, str_format(&tmp, "key %s", kind)) : "key", word,
                               str_copy_z(&tmp, str_trim(words)), err);
}

/* What the verb's usage does not name, it would pass over. */
static Code options_check(const Args *args, const KeyVerb *verb, Err *err)
{
    for (const OptionRow *row = key_options; row->name; row++) {
        if (!args_has(args, row->name) || str_find(str_z(verb->usage), str_z(row->name)) >= 0)
            continue;
        err_set(err, E_INVALID, "`tarn key %s%s%s` has no option %s", verb->kind, *verb->kind ? " " : "", verb->word,
                row->name);
        return err_hint(err, E_INVALID, "usage: tarn key %s%s%s %s", verb->kind, *verb->kind ? " " : "", verb->word,
                        verb->usage);
    }
    if (args_has(args, "--disable") && args_has(args, "--enable"))
        return err_hint(err, err_set(err, E_INVALID, "--disable and --enable are given both"), "give one of them");
    return E_OK;
}

static Code verb_find(const Args *args, const KeyVerb **ret_verb, size_t *ret_words, Err *err)
{
    Str first = args->count ? args->words[0] : STR_NONE;
    const char *kind = str_eq(first, STR("principal")) ? "principal" : str_eq(first, STR("access")) ? "access" : "";
    size_t words = *kind ? 2 : 1;
    Str word = args->count >= words ? args->words[words - 1] : STR_NONE;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        const KeyVerb *verb = &verbs[i];
        if (strcmp(verb->kind, kind) != 0 || !word_is(word, verb->word))
            continue;
        *ret_verb = verb;
        *ret_words = words;
        if (args->count >= words + verb->named && args->count <= words + verb->may_be_named)
            return E_OK;
        if (args->count < words + verb->named)
            err_set(err, E_INVALID, "a word is missing behind `tarn key %s%s%s`", kind, *kind ? " " : "", verb->word);
        else
            err_set(err, E_INVALID, "'" STR_FMT "' is one word too many for `tarn key %s%s%s`",
                    STR_ARG(args->words[words + verb->may_be_named]), kind, *kind ? " " : "", verb->word);
        return err_hint(err, E_INVALID, "usage: tarn key %s%s%s %s", kind, *kind ? " " : "", verb->word, verb->usage);
    }
    return verb_unknown(kind, word, err);
}

Code command_key(const Args *args, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    AUTO(client_free) Client *client = NULL;
    Buf body AUTO(buf_done) = { 0 };
    const KeyVerb *verb = NULL;
    size_t words = 0;
    buf_init(&body, KEY_BODY_MAX);
    TRY(verb_find(args, &verb, &words, err));
    TRY(options_check(args, verb, err));
    TRY(command_client(args, &client, err));
    KeyCall call = { args, client, &tmp };
    return verb->run(&call, args->count > words ? args->words[words] : STR_NONE, &body, err);
}
