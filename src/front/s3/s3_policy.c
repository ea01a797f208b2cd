/* POST policies: what a signed form may hold. Pure: fields and sizes in, S3's refusal out. */
#include "front/s3/s3_post.h"

#include "format/json.h"

#include <string.h>

static bool document(PostFail *ret_fail, Str message)
{
    *ret_fail = (PostFail){ .code = S3_InvalidPolicyDocument, .message = message };
    return false;
}

static bool denied(PostFail *ret_fail, Str message)
{
    *ret_fail = (PostFail){ .code = S3_AccessDenied, .message = message };
    return false;
}

static bool failed(const PostForm *form, PostFail *ret_fail, const char *op, Str name, Str value,
                   const char *gap)
{
    return denied(ret_fail, str_format(form->arena,
                                       "Invalid according to Policy: Policy Condition failed: "
                                       "[\"%s\",%s\"" STR_FMT "\",%s\"" STR_FMT "\"]",
                                       op, gap, STR_ARG(name), gap, STR_ARG(value)));
}

Str s3_post_field(const PostForm *form, Str name)
{
    for (size_t i = 0; i < form->count; i++) {
        if (str_ieq(form->fields[i].name, name))
            return form->fields[i].value;
    }
    return STR_NONE;
}

static void cover(PostForm *form, Str name)
{
    for (size_t i = 0; i < form->count; i++) {
        if (str_ieq(form->fields[i].name, name))
            form->covered[i] = true;
    }
    form->bucket_covered = form->bucket_covered || str_ieq(name, STR("bucket"));
}

/* Of a list of content types each one has to. */
static bool starts(Str field, Str value, Str wanted)
{
    Str one;
    if (!str_ieq(field, STR("content-type")))
        return str_starts(value, wanted);
    do {
        if (!value.ptr || !str_split(&value, ',', &one) || !str_starts(str_trim(one), wanted))
            return wanted.len == 0;
    } while (value.ptr && value.len > 0);
    return true;
}

static bool value_fits(const char *op, Str field, Str value, Str wanted)
{
    return strcmp(op, "eq") == 0 ? str_eq(value, wanted) : starts(field, value, wanted);
}

/* `name` with its dollar sign. */
static bool match(PostForm *form, const char *op, Str name, Str wanted, const char *gap,
                  PostFail *ret_fail)
{
    if (!str_starts(name, STR("$")))
        return failed(form, ret_fail, op, name, wanted, gap);
    Str field = str_from(name, 1);
    bool is_bucket = str_ieq(field, STR("bucket"));
    if (!value_fits(op, field, is_bucket ? form->bucket : s3_post_field(form, field), wanted))
        return failed(form, ret_fail, op, name, wanted, gap);
    for (size_t i = 0; i < form->count && !is_bucket; i++) { /* one that comes twice is judged twice */
        if (str_ieq(form->fields[i].name, field) && !value_fits(op, field, form->fields[i].value, wanted))
            return failed(form, ret_fail, op, name, wanted, gap);
    }
    cover(form, field);
    return true;
}

static bool range_take(PostForm *form, const Json *low, const Json *high, PostFail *ret_fail)
{
    form->least = json_i64(low, -1);
    form->most = json_i64(high, -1);
    if (form->least < 0 || form->most < 0)
        return document(ret_fail, STR("Invalid Policy: Invalid JSON."));
    return true;
}

static bool list_judge(PostForm *form, const Json *list, PostFail *ret_fail)
{
    const Json *items[4] = { 0 };
    size_t count = 0;
    for (JsonIter it = json_iter(list); json_next(&it) && count < ARRAY_LEN(items);)
        items[count++] = it.value;
    if (count == 0)
        return document(ret_fail,
                        STR("Invalid Policy: Invalid Condition: missing operation identifier."));
    Str op = json_str(items[0]);
    bool range = str_ieq(op, STR("content-length-range")), eq = str_ieq(op, STR("eq"));
    if (!range && !eq && !str_ieq(op, STR("starts-with")))
        return document(ret_fail,
                        str_format(form->arena,
                                   "Invalid Policy: Invalid Condition: unknown operation '" STR_FMT
                                   "'.",
                                   STR_ARG(op)));
    if (count != 3)
        return document(ret_fail, str_format(form->arena,
                                             "Invalid Policy: Invalid " STR_FMT
                                             ": wrong number of arguments.",
                                             STR_ARG(op)));
    if (range)
        return range_take(form, items[1], items[2], ret_fail);
    if (json_type(items[1]) != JSON_STRING || json_type(items[2]) != JSON_STRING)
        return document(ret_fail, STR("Invalid Policy: Invalid JSON."));
    return match(form, eq ? "eq" : "starts-with", json_str(items[1]), json_str(items[2]), "",
                 ret_fail);
}

static bool object_judge(PostForm *form, const Json *object, PostFail *ret_fail)
{
    size_t count = 0;
    Str name = STR_NONE, value = STR_NONE;
    bool text = true;
    for (JsonIter it = json_iter(object); json_next(&it); count++) {
        name = it.key;
        value = json_str(it.value);
        text = json_type(it.value) == JSON_STRING;
    }
    if (count != 1)
        return document(ret_fail,
                        STR("Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have "
                            "exactly one property specified."));
    if (!text)
        return document(ret_fail,
                        STR("Invalid Policy: Invalid Simple-Condition: value must be a string."));
    return match(form, "eq", str_format(form->arena, "$" STR_FMT, STR_ARG(name)), value, " ",
                 ret_fail);
}

/* Every field of the form has to be spoken of, but for these. */
static bool covered(const PostForm *form, PostFail *ret_fail)
{
    static const char *const free_fields[] = { "x-amz-signature", "policy", "file" };
    for (size_t i = 0; i < form->count; i++) {
        bool is_free = form->covered[i] || str_istarts(form->fields[i].name, STR("x-ignore-"));
        for (size_t j = 0; j < ARRAY_LEN(free_fields); j++)
            is_free = is_free || str_ieq(form->fields[i].name, str_z(free_fields[j]));
        if (!is_free)
            return denied(ret_fail,
                          str_format(form->arena,
                                     "Invalid according to Policy: Extra input fields: " STR_FMT,
                                     STR_ARG(form->fields[i].name)));
    }
    return form->bucket_covered ||
           denied(ret_fail, STR("Invalid according to Policy: Extra input fields: bucket"));
}

/* ISO 8601 in UTC alone: "2026-11-22T18:25:00.000Z". */
static bool expiration_parse(Str text, int64_t *ret_us)
{
    return text.len >= 20 && text.ptr[10] == 'T' && text.ptr[text.len - 1] == 'Z' &&
           time_parse(text, ret_us);
}

static bool root_judge(PostForm *form, const Json *root, int64_t now_us, PostFail *ret_fail)
{
    const Json *expiration = json_get(root, "expiration"),
               *conditions = json_get(root, "conditions");
    int64_t end_us;
    for (JsonIter it = json_iter(root); json_next(&it);) {
        if (!str_eq(it.key, STR("expiration")) && !str_eq(it.key, STR("conditions")))
            return document(ret_fail,
                            str_format(form->arena, "Invalid Policy: Unexpected: \"" STR_FMT "\"",
                                       STR_ARG(it.key)));
    }
    if (!expiration)
        return document(ret_fail, STR("Invalid Policy: Policy missing expiration."));
    if (json_type(expiration) != JSON_STRING)
        return document(ret_fail, STR("Invalid Policy: Invalid JSON."));
    if (!expiration_parse(json_str(expiration), &end_us))
        return document(ret_fail,
                        str_format(form->arena,
                                   "Invalid Policy: Invalid 'expiration' value: '" STR_FMT "'",
                                   STR_ARG(json_str(expiration))));
    if (!conditions)
        return document(ret_fail, STR("Invalid Policy: Policy missing conditions."));
    if (json_type(conditions) != JSON_ARRAY)
        return document(ret_fail,
                        STR("Invalid Policy: Invalid 'conditions' value: must be a List."));
    if (now_us > end_us)
        return denied(ret_fail, STR("Invalid according to Policy: Policy expired."));
    for (JsonIter it = json_iter(conditions); json_next(&it);) {
        bool list = json_type(it.value) == JSON_ARRAY;
        if (!list && json_type(it.value) != JSON_OBJECT)
            return document(ret_fail, STR("Invalid Policy: Invalid condition test: must be a List "
                                          "or Object."));
        if (!(list ? list_judge : object_judge)(form, it.value, ret_fail))
            return false;
    }
    return covered(form, ret_fail);
}

bool s3_policy_judge(PostForm *form, Str policy, int64_t now_us, PostFail *ret_fail)
{
    Str text;
    const Json *root;
    Err err;
    form->least = 0;
    form->most = INT64_MAX;
    if (policy.len == 0)
        return document(ret_fail, STR("Invalid Policy: Expecting '{' but found End-of-Input"));
    if (!base64_parse(form->arena, policy, &text))
        return document(ret_fail, STR("Invalid Policy: invalid Base64 encoding."));
    if (json_parse(form->arena, text, NULL, &root, &err) != E_OK || json_type(root) != JSON_OBJECT)
        return document(ret_fail, STR("Invalid Policy: Invalid JSON."));
    return root_judge(form, root, now_us, ret_fail);
}
