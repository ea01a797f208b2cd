/* Inline policies of sessions. Refused when made: whatever is not understood. */
#include "govern/access.h"

#include "format/json.h"

enum { STATEMENTS_MAX = 32, PATTERNS_MAX = 64, PATTERN_BYTES_MAX = 2048 };

static Code unknown(const char *what, Str text, Err *err)
{
    return err_hint(err,
                    err_set(err, E_INVALID, "the session policy's %s is not understood: " STR_FMT,
                            what, STR_ARG(str_sub(text, 0, 200))),
                    "Version, Statement [{Sid, Effect, Action, Resource}] with * and ? are");
}

/* Variables are not put in: a Deny of "${aws:username}/" would be one of nothing. */
static bool pattern_ok(Str pattern)
{
    return pattern.len <= PATTERN_BYTES_MAX && str_find(pattern, STR("${")) < 0;
}

static Code patterns_check(const Json *value, const char *what, Err *err)
{
    JsonIter it = json_iter(value);
    size_t count = 0;
    if (json_type(value) == JSON_STRING)
        return pattern_ok(json_str(value)) ? E_OK : unknown(what, json_str(value), err);
    if (json_type(value) != JSON_ARRAY)
        return unknown(what, str_z(json_type_name(json_type(value))), err);
    while (json_next(&it)) {
        if (json_type(it.value) != JSON_STRING || !pattern_ok(json_str(it.value)) ||
            ++count > PATTERNS_MAX)
            return unknown(what, json_str(it.value), err);
    }
    return E_OK;
}

static Code statement_check(const Json *statement, Err *err)
{
    Str effect = json_str(json_get(statement, "Effect"));
    JsonIter it = json_iter(statement);
    if (json_type(statement) != JSON_OBJECT)
        return unknown("Statement", str_z(json_type_name(json_type(statement))), err);
    while (json_next(&it)) {
        bool known = str_eq(it.key, STR("Sid")) || str_eq(it.key, STR("Effect")) ||
                     str_eq(it.key, STR("Action")) || str_eq(it.key, STR("Resource"));
        if (!known)
            return unknown("element", it.key, err);
    }
    if (!str_eq(effect, STR("Allow")) && !str_eq(effect, STR("Deny")))
        return unknown("Effect", effect, err);
    TRY(patterns_check(json_get(statement, "Action"), "Action", err));
    return patterns_check(json_get(statement, "Resource"), "Resource", err);
}

Code session_policy_check(Str policy, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const Json *root;
    size_t count = 0;
    if (policy.len > SESSION_POLICY_MAX)
        return err_set(err, E_LIMIT, "a session policy of %zu bytes; at most %d", policy.len,
                       SESSION_POLICY_MAX);
    TRY(json_parse(&tmp, policy, NULL, &root, err));
    JsonIter it = json_iter(root);
    while (json_next(&it)) {
        bool known = str_eq(it.key, STR("Version")) || str_eq(it.key, STR("Id")) ||
                     str_eq(it.key, STR("Statement"));
        if (!known)
            return unknown("element", it.key, err);
    }
    const Json *statements = json_get(root, "Statement");
    if (json_type(statements) == JSON_OBJECT)
        return statement_check(statements, err);
    if (json_type(statements) != JSON_ARRAY)
        return unknown("Statement", str_z(json_type_name(json_type(statements))), err);
    for (it = json_iter(statements); json_next(&it);) {
        if (++count > STATEMENTS_MAX)
            return err_set(err, E_LIMIT, "a session policy has at most %d statements",
                           STATEMENTS_MAX);
        TRY(statement_check(it.value, err));
    }
    return E_OK;
}

/* `*` any bytes, `?` one; without recursion. */
static bool matches(Str pattern, Str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_t = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            star_t = t;
        } else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == text.ptr[t])) {
            p++, t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_t;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static bool any_matches(const Json *value, Str text, bool lower, Arena *tmp)
{
    JsonIter it = json_iter(value);
    text = lower ? str_lower(tmp, text) : text;
    if (json_type(value) == JSON_STRING)
        return matches(lower ? str_lower(tmp, json_str(value)) : json_str(value), text);
    while (json_next(&it)) {
        if (matches(lower ? str_lower(tmp, json_str(it.value)) : json_str(it.value), text))
            return true;
    }
    return false;
}

typedef struct Verdict {
    bool allowed, denied;
} Verdict;

static void statement_judge(const Json *statement, Str action, Str resource, Arena *tmp,
                            Verdict *verdict)
{
    if (!any_matches(json_get(statement, "Action"), action, true, tmp) ||
        !any_matches(json_get(statement, "Resource"), resource, false, tmp))
        return;
    if (str_eq(json_str(json_get(statement, "Effect")), STR("Allow")))
        verdict->allowed = true;
    else
        verdict->denied = true;
}

bool session_policy_allows(Str policy, Str action, Str resource, Arena *tmp)
{
    const Json *root;
    Verdict verdict = { 0 };
    if (json_parse(tmp, policy, NULL, &root, NULL) != E_OK)
        return false;
    const Json *statements = json_get(root, "Statement");
    if (json_type(statements) == JSON_OBJECT)
        statement_judge(statements, action, resource, tmp, &verdict);
    JsonIter it = json_iter(json_type(statements) == JSON_ARRAY ? statements : NULL);
    while (json_next(&it))
        statement_judge(it.value, action, resource, tmp, &verdict);
    return verdict.allowed && !verdict.denied;
}
