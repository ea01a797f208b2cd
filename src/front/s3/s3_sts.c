/* STS on the same port: AssumeRole and GetCallerIdentity, forms that are signed with service "sts".
 *
 * The signature covers the SHA-256 of the form, so it is checked when the form is there; nothing of
 * the lake is looked at before. A session has the role of who asks for it; RoleArn chooses nothing.
 */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

#define STS_XMLNS "https://sts.amazonaws.com/doc/2011-06-15/"

enum { STS_ANSWER_MAX = 64 << 10, STS_DURATION_S = 3600 };

static Str form_value(S3Req *s, const char *name)
{
    Str rest = buf_str(&s->text), pair, key, value;
    while (rest.ptr && rest.len > 0 && str_split(&rest, '&', &pair)) {
        ptrdiff_t equals = str_find_char(pair, '=');
        if (equals < 0 || !url_decode(s->arena, str_sub(pair, 0, (size_t)equals), &key) ||
            !str_eq(key, str_z(name)))
            continue;
        return url_decode_form(s->arena, str_from(pair, (size_t)equals + 1), &value) ? value : STR_NONE;
    }
    return STR_NONE;
}

/* A form that is not understood whole would give a session more than was asked for. */
static bool form_ok(S3Req *s)
{
    Str rest = buf_str(&s->text), pair, text;
    while (rest.ptr && rest.len > 0 && str_split(&rest, '&', &pair)) {
        if (!url_decode(s->arena, pair, &text))
            return s3_fail_text(s, S3_ValidationError, STR("The form holds a percent sign that is no escape."));
        if (str_starts(text, STR("PolicyArns.")))
            return s3_fail_text(s, S3_ValidationError,
                                STR("PolicyArns is not served: the policy of a session comes in Policy."));
    }
    text = form_value(s, "Policy");
    return !text.ptr || text.len > 0 ||
           s3_fail_text(s, S3_ValidationError, STR("Member must have length greater than or equal to 1: policy"));
}

static void request_id_put(S3Req *s, XmlWriter *w)
{
    xml_open(w, "ResponseMetadata");
    xml_field(w, "RequestId", http_req_id(s->r));
    xml_close(w, "ResponseMetadata");
}

static void assumed_put(S3Req *s, Str session, const SessionCredentials *made)
{
    Buf body;
    buf_init(&body, STS_ANSWER_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "AssumeRoleResponse", STS_XMLNS);
    xml_open(&w, "AssumeRoleResult");
    xml_open(&w, "Credentials");
    xml_field(&w, "AccessKeyId", made->access_key_id);
    xml_field(&w, "SecretAccessKey", made->secret);
    xml_field(&w, "SessionToken", made->token);
    xml_field(&w, "Expiration", s3_iso_date(s->arena, made->expires_us));
    xml_close(&w, "Credentials");
    xml_open(&w, "AssumedRoleUser");
    xml_field(&w, "Arn",
              str_format(s->arena, "arn:aws:sts:::assumed-role/" STR_FMT "/" STR_FMT,
                         STR_ARG(s->call.principal.name), STR_ARG(session)));
    xml_field(
        &w, "AssumedRoleId",
        str_format(s->arena, STR_FMT ":" STR_FMT, STR_ARG(s->call.principal.id), STR_ARG(session)));
    xml_close(&w, "AssumedRoleUser");
    xml_close(&w, "AssumeRoleResult");
    request_id_put(s, &w);
    xml_close(&w, "AssumeRoleResponse");
    http_reply_header(s->r, "Cache-Control", STR("no-store"));
    s3_reply_xml(s, 200, &body);
}

static void assume_role(S3Req *s)
{
    SessionCredentials made;
    int64_t duration_s = STS_DURATION_S;
    Err err;
    Str session = form_value(s, "RoleSessionName"), duration = form_value(s, "DurationSeconds");
    if (duration.len > 0 && (!str_i64(duration, &duration_s) || duration_s < SESSION_S_MIN ||
                             duration_s > SESSION_S_MAX)) {
        s3_fail_text(s, S3_ValidationError,
                     str_format(s->arena, "DurationSeconds has to be %d to %d", SESSION_S_MIN,
                                SESSION_S_MAX));
        return;
    }
    Code code = api_session_create(&s->call, &s->grant, s->claim.access_key, session,
                                   form_value(s, "Policy"), (uint32_t)duration_s, &made, &err);
    if (code == E_FORBIDDEN)
        s3_fail_text(s, S3_AccessDenied, str_copy(s->arena, str_z(err.text)));
    else if (code == E_UNAVAILABLE)
        s3_fail_err(s, &err);
    else if (code != E_OK)
        s3_fail_text(s, S3_ValidationError, str_copy(s->arena, str_z(err.text)));
    else
        assumed_put(s, session, &made);
}

static void caller_identity(S3Req *s)
{
    Buf body;
    buf_init(&body, STS_ANSWER_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "GetCallerIdentityResponse", STS_XMLNS);
    xml_open(&w, "GetCallerIdentityResult");
    xml_field(&w, "Arn",
              str_format(s->arena, "arn:aws:iam:::user/" STR_FMT, STR_ARG(s->call.principal.name)));
    xml_field(&w, "UserId", s->call.principal.id);
    xml_field(&w, "Account", STR("000000000000"));
    xml_close(&w, "GetCallerIdentityResult");
    request_id_put(s, &w);
    xml_close(&w, "GetCallerIdentityResponse");
    s3_reply_xml(s, 200, &body);
}

void s3_sts(S3Req *s)
{
    Str action = form_value(s, "Action");
    DigestValue sha = digest_of(DIGEST_SHA256, buf_str(&s->text));
    s->payload_sts = hex_format(s->arena, digest_str(&sha));
    if (!s3_authenticate(s, STR("sts")) || !form_ok(s))
        return;
    if (str_eq(action, STR("AssumeRole")))
        assume_role(s);
    else if (str_eq(action, STR("GetCallerIdentity")))
        caller_identity(s);
    else
        s3_fail_text(s, S3_InvalidAction,
                     str_format(s->arena, "Could not find operation " STR_FMT, STR_ARG(action)));
}
