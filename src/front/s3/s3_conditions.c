/* Conditions: of reads and copies, of puts, of deletes. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

/* ---- conditions of a read ---- */

static bool etag_list_has(Str list, Str etag)
{
    Str one;
    while (list.ptr && str_split(&list, ',', &one)) {
        if (str_eq(str_trim(one), STR("*")) || s3_etag_is(one, etag))
            return true;
    }
    return false;
}

/* RFC 9110 13.2.2: If-Match goes before If-Unmodified-Since, If-None-Match before
 * If-Modified-Since. */
bool s3_conditions_hold(S3Req *s, const ObjectInfo *info, const S3Conditions *names)
{
    Str match = s3_field(s, names->match), none = s3_field(s, names->none);
    Str etag = object_etag(s->arena, info);
    int64_t time_us, seconds_us = info->modified_us / 1000000 * 1000000;
    if (match.ptr && !etag_list_has(match, etag))
        return s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition", str_z(names->match));
    if (!match.ptr && s3_http_date_parse(s3_field(s, names->unmodified), &time_us) &&
        seconds_us > time_us)
        return s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition",
                            str_z(names->unmodified));
    bool same = none.ptr && etag_list_has(none, etag);
    bool older = !none.ptr && s3_http_date_parse(s3_field(s, names->modified), &time_us) &&
                 seconds_us <= time_us;
    if (!same && !older)
        return true;
    if (names->copies)
        return s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition",
                            str_z(same ? names->none : names->modified));
    http_reply_header(s->r, "ETag", s3_quoted_etag(s, info));
    http_reply_header(s->r, "Last-Modified", s3_http_date(s->arena, info->modified_us));
    s3_reply_empty(s, 304);
    return false;
}

const S3Conditions s3_of_get = { "If-Match", "If-None-Match", "If-Modified-Since",
                                   "If-Unmodified-Since", false };
const S3Conditions s3_of_copy = { "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match",
                                    "x-amz-copy-source-if-modified-since",
                                    "x-amz-copy-source-if-unmodified-since", true };


/* ---- of writes ---- */

static bool condition_unserved(S3Req *s, const char *header, Str message)
{
    S3Detail details[] = { { "Header", str_z(header) }, { "additionalMessage", message } };
    return s3_fail_details(s, S3_NotImplemented, STR_NONE, details, ARRAY_LEN(details));
}

bool s3_condition_holds(S3Req *s, const S3Match *match, const ObjectInfo *info)
{
    int64_t seconds = info->modified_us / 1000000;
    return (!match->etag.ptr || str_eq(str_trim(match->etag), STR("*")) ||
            s3_etag_is(match->etag, object_etag(s->arena, info))) &&
           (!match->has_size || match->size == info->size_bytes) &&
           (!match->has_time || match->time_us / 1000000 == seconds);
}

Code s3_match_judge(S3Req *s, Str key, const S3Match *match, uint64_t *ret_sequence, Err *err)
{
    ObjectInfo info;
    TRY(api_object_head(&s->call, s->bucket, key, 0, &info, err));
    if (info.delete_marker)
        return err_set(err, E_NOT_FOUND, "the object was deleted");
    if (!s3_condition_holds(s, match, &info))
        return err_set(err, E_PRECONDITION, "the newest version is another");
    *ret_sequence = info.sequence;
    return E_OK;
}

static bool match_take(S3Req *s, const S3Match *match, uint64_t *ret_sequence)
{
    Err err;
    Code code = s3_match_judge(s, s->key, match, ret_sequence, &err);
    if (code == E_PRECONDITION)
        return s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition", STR("If-Match"));
    return code == E_OK || s3_fail_err(s, &err);
}

/* If-None-Match: * and If-Match of a put become the store's condition, which its leader judges. */
bool s3_conditions_of_put(S3Req *s)
{
    Str none = s3_field(s, "If-None-Match"), match = s3_field(s, "If-Match");
    if (none.ptr && match.ptr)
        return condition_unserved(
            s, "If-Match,If-None-Match",
            STR("Multiple conditional request headers present in the request"));
    if (none.ptr) {
        s->condition = PUT_IF_ABSENT;
        return str_eq(str_trim(none), STR("*")) ||
               condition_unserved(
                   s, "If-None-Match",
                   STR("We don\\'t accept the provided value of If-None-Match header "
                       "for this API"));
    }
    if (!match.ptr)
        return true;
    s->condition = PUT_IF_SEQUENCE;
    return match_take(s, &(S3Match){ .etag = match }, &s->if_sequence);
}

bool s3_condition_of_delete(S3Req *s, uint64_t *ret_if_sequence)
{
    Str size = s3_field(s, "x-amz-if-match-size"),
        time = s3_field(s, "x-amz-if-match-last-modified-time");
    S3Match match = { .etag = s3_field(s, "If-Match"),
                      .has_size = size.ptr != NULL,
                      .has_time = time.ptr != NULL };
    *ret_if_sequence = 0;
    if (size.ptr && !str_u64(size, &match.size))
        return s3_fail_argument(s, "x-amz-if-match-size", size, STR_NONE);
    if (time.ptr && !s3_http_date_parse(time, &match.time_us))
        return s3_fail_argument(s, "x-amz-if-match-last-modified-time", time, STR_NONE);
    return (!match.etag.ptr && !size.ptr && !time.ptr) || match_take(s, &match, ret_if_sequence);
}
