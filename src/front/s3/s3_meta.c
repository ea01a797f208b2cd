/* What comes with a put: fields that readers get back, tags, conditions. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

static const char *const kept[] = { "Cache-Control",
                                    "Content-Disposition",
                                    "Content-Encoding",
                                    "Content-Language",
                                    "Expires",
                                    "x-amz-storage-class",
                                    "x-amz-website-redirect-location" };

/* `aws-chunked` is how it came, not what it is. */
static Str encoding_without_aws(S3Req *s, Str value)
{
    Str rest = value, one, out = STR("");
    if (str_find(str_lower(s->arena, value), STR("aws-chunked")) < 0)
        return value;
    while (rest.ptr && str_split(&rest, ',', &one)) {
        one = str_trim(one);
        if (one.len == 0 || str_ieq(one, STR("aws-chunked")))
            continue;
        out = str_format(s->arena, STR_FMT "%s" STR_FMT, STR_ARG(out), out.len ? "," : "",
                         STR_ARG(one));
    }
    return out;
}

static bool meta_too_large(S3Req *s, size_t bytes)
{
    S3Detail details[] = { { "Size", s3_number(s, bytes) },
                           { "MaxSizeAllowed", s3_number(s, S3_META_BYTES_MAX) } };
    return s3_fail_details(s, S3_MetadataTooLarge, STR_NONE, details, ARRAY_LEN(details));
}

bool s3_acl_named(S3Req *s, Str acl)
{
    static const char *const canned[] = { "private", "public-read", "public-read-write",
                                          "aws-exec-read", "authenticated-read",
                                          "bucket-owner-read", "bucket-owner-full-control",
                                          "log-delivery-write" };
    for (size_t i = 0; i < ARRAY_LEN(canned); i++) {
        if (acl.len == 0 || str_eq(acl, str_z(canned[i])))
            return true;
    }
    return s3_fail_argument(s, "x-amz-acl", acl, STR_NONE);
}

/* ACLs are off: what asks for more than the owner's own control is refused, not forgotten. */
bool s3_acl_ok(S3Req *s)
{
    static const char *const grants[] = { "x-amz-grant-read", "x-amz-grant-write",
                                          "x-amz-grant-read-acp", "x-amz-grant-write-acp",
                                          "x-amz-grant-full-control" };
    Str acl = s3_field(s, s->from_form ? "acl" : "x-amz-acl");
    bool fine = acl.len == 0 || str_eq(acl, STR("private")) ||
                str_eq(acl, STR("bucket-owner-full-control"));
    if (!s3_acl_named(s, acl))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(grants); i++)
        fine = fine && s3_field(s, grants[i]).len == 0;
    return fine || s3_fail(s, S3_AccessControlListNotSupported);
}

/* Keys that would encrypt the bytes, and bytes that would be appended: nothing is written instead. */
bool s3_bytes_served(S3Req *s)
{
    static const char *const fields[] = { "x-amz-server-side-encryption",
                                          "x-amz-server-side-encryption-customer-algorithm",
                                          "x-amz-copy-source-server-side-encryption-customer-algorithm",
                                          "x-amz-write-offset-bytes" };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (s3_field(s, fields[i]).len > 0)
            return s3_fail_with(s, S3_NotImplemented, STR_NONE, "Header", str_z(fields[i]));
    }
    return true;
}

/* All classes are kept alike and read at once; those that would have to be restored first are not taken. */
static bool class_ok(S3Req *s)
{
    static const char *const known[] = { "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA",
                                         "INTELLIGENT_TIERING", "GLACIER_IR" };
    static const char *const archives[] = { "GLACIER", "DEEP_ARCHIVE" };
    Str name = s3_field(s, "x-amz-storage-class");
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (name.len == 0 || str_eq(name, str_z(known[i])))
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(archives); i++) {
        if (str_eq(name, str_z(archives[i])))
            return s3_fail_with(s, S3_NotImplemented, STR_NONE, "Header", STR("x-amz-storage-class"));
    }
    return s3_fail_with(s, S3_InvalidStorageClass, STR_NONE, "StorageClassRequested", name);
}

/* Tags have a right of their own, also where they come with the object. */
bool s3_may_tag(S3Req *s)
{
    return api_key_allowed(&s->call, &s->grant, "s3:PutObjectTagging", s->bucket, s->key) ||
           s3_fail(s, S3_AccessDenied);
}

/* Locks, ACLs and keys of clients are not kept, so a request with them is not taken for one
 * without. */
static bool fields_served(S3Req *s)
{
    static const char *const lock[] = { "x-amz-object-lock-mode",
                                        "x-amz-object-lock-retain-until-date",
                                        "x-amz-object-lock-legal-hold" };
    Str redirect = s3_field(s, "x-amz-website-redirect-location");
    if (!s3_acl_ok(s))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(lock); i++) {
        if (s3_field(s, lock[i]).len > 0)
            return s3_fail_text(s, S3_InvalidRequest,
                                STR("Bucket is missing ObjectLockConfiguration"));
    }
    if (!s3_bytes_served(s) || !class_ok(s))
        return false;
    return redirect.len == 0 || str_starts(redirect, STR("/")) ||
           str_starts(redirect, STR("http://")) || str_starts(redirect, STR("https://")) ||
           s3_fail(s, S3_InvalidRedirectLocation);
}

/* A form's fields have values of any bytes, too: what no reader could be given back is not taken. */
bool s3_value_ok(S3Req *s, const char *name, Str value)
{
    for (size_t i = 0; i < value.len && s->from_form; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return s3_fail_argument(s, name, STR_NONE, STR("The value of this field is none of a header of HTTP."));
    }
    return true;
}

bool s3_put_fields(S3Req *s, StorePut *put, Arena *arena)
{
    StoreTag *meta = arena_array(arena, StoreTag, STORE_META_MAX);
    size_t count = 0, bytes = 0;
    if (!fields_served(s))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        Str value = s3_field(s, kept[i]);
        if (!s3_value_ok(s, kept[i], value))
            return false;
        if (strcmp(kept[i], "Content-Encoding") == 0 && value.ptr)
            value = encoding_without_aws(s, value);
        if (value.len > 0 &&
            !(strcmp(kept[i], "x-amz-storage-class") == 0 && str_eq(value, STR("STANDARD"))))
            meta[count++] = (StoreTag){ str_z(kept[i]), value };
    }
    for (size_t i = 0; i < s->request.field_count; i++) {
        const SigField *field = &s->request.fields[i];
        if (!str_istarts(field->name, STR("x-amz-meta-")))
            continue;
        if (!s3_field_name_ok(field->name, false)) /* a form's fields have names of any bytes */
            return s3_fail_argument(s, "x-amz-meta", field->name,
                                    STR("The name of a field of metadata is none of HTTP."));
        if (!s3_value_ok(s, "x-amz-meta", field->value))
            return false;
        bytes += field->name.len - strlen("x-amz-meta-") + field->value.len;
        if (count == STORE_META_MAX || bytes > S3_META_BYTES_MAX)
            return meta_too_large(s, bytes);
        Str name = str_lower(arena, field->name);
        size_t same = 0;
        while (same < count && !str_eq(meta[same].key, name))
            same++;
        Str value = same == count ? field->value
                                  : str_format(arena, STR_FMT "," STR_FMT,
                                               STR_ARG(meta[same].value), STR_ARG(field->value));
        meta[same] = (StoreTag){ name, value };
        count = MAX(count, same + 1);
    }
    Str type = s3_field(s, "Content-Type"), tagging = s3_field(s, "x-amz-tagging");
    if (type.len > STORE_CONTENT_TYPE_MAX)
        return meta_too_large(s, type.len);
    if (!s3_value_ok(s, "Content-Type", type))
        return false;
    put->content_type = type.len ? type : STR("binary/octet-stream");
    put->meta = meta;
    put->meta_count = count;
    put->owner = s->call.principal.id;
    StoreTag *tags = NULL;
    put->tag_count = 0;
    if (tagging.len > 0 && (!s3_may_tag(s) || !s3_tags_header(s, tagging, &tags, &put->tag_count)))
        return false;
    put->tags = tags;
    return true;
}

/* Letters, digits and blanks of any script, and _ . : / = + - @ */
static bool tag_text_ok(Str text, size_t most)
{
    size_t letters = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (c < 0x80 && !alnum && !(c && strchr(" _.:/=+-@", c)))
            return false;
        letters += (c & 0xC0) != 0x80;
    }
    return letters <= most && str_is_utf8(text);
}

static bool tag_invalid(S3Req *s, const StoreTag *tag, bool of_key)
{
    S3Detail details[] = { { "TagKey", tag->key }, { "TagValue", of_key ? STR_NONE : tag->value } };
    return s3_fail_details(s, S3_InvalidTag,
                           of_key ? STR("The TagKey you have provided is invalid")
                                  : STR("The TagValue you have provided is invalid"),
                           details, ARRAY_LEN(details));
}

static bool tag_check(S3Req *s, const StoreTag *tags, size_t count)
{
    const StoreTag *tag = &tags[count];
    if (tag->key.len == 0 || tag->key.len > STORE_TAG_KEY_MAX || !tag_text_ok(tag->key, 128))
        return tag_invalid(s, tag, true);
    if (!tag_text_ok(tag->value, 256))
        return tag_invalid(s, tag, false);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(tags[i].key, tag->key))
            return s3_fail_text(s, S3_InvalidTag,
                                STR("Cannot provide multiple Tags with the same key"));
    }
    return true;
}

static bool tagging_malformed(S3Req *s, Str value)
{
    return s3_fail_argument(
        s, "x-amz-tagging", value.ptr ? value : STR(""),
        STR("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "
            "parameters without tag name duplicates."));
}

bool s3_tags_header(S3Req *s, Str header, StoreTag **ret_tags, size_t *ret_count)
{
    StoreTag *tags = arena_array(s->arena, StoreTag, S3_TAGS_MAX + 1);
    size_t count = 0;
    Str rest = header, pair;
    while (rest.ptr && rest.len > 0 && str_split(&rest, '&', &pair)) {
        ptrdiff_t equals = str_find_char(pair, '=');
        Str name = equals < 0 ? pair : str_sub(pair, 0, (size_t)equals);
        Str value = equals < 0 ? STR("") : str_from(pair, (size_t)equals + 1);
        if (pair.len == 0)
            continue;
        if (count == S3_TAGS_MAX)
            return s3_fail_text(s, S3_BadRequest, STR("Object tags cannot be greater than 10"));
        if (name.len == 0 ||
            !url_decode_form(s->arena, name, &tags[count].key) ||
            !url_decode_form(s->arena, value, &tags[count].value))
            return tagging_malformed(s, rest);
        for (size_t i = 0; i < count; i++) {
            if (str_eq(tags[i].key, tags[count].key))
                return tagging_malformed(s, rest);
        }
        if (!tag_check(s, tags, count))
            return false;
        count++;
    }
    *ret_tags = tags;
    *ret_count = count;
    return true;
}

bool s3_tags_xml(S3Req *s, const XmlNode *root, size_t most, StoreTag **ret_tags, size_t *ret_count)
{
    const XmlNode *set = xml_child(root, "TagSet");
    if (!str_eq(root->name, STR("Tagging")) || !set)
        return s3_fail(s, S3_MalformedXML);
    return s3_tags_of(s, set, most, ret_tags, ret_count);
}

bool s3_tags_of(S3Req *s, const XmlNode *set, size_t most, StoreTag **ret_tags, size_t *ret_count)
{
    StoreTag *tags = arena_array(s->arena, StoreTag, most + 1);
    size_t count = 0;
    for (const XmlNode *tag = xml_child(set, "Tag"); tag; tag = xml_next(tag, "Tag")) {
        if (count == most)
            return s3_fail_text(s, S3_BadRequest,
                                str_format(s->arena, "%s cannot be greater than %zu",
                                           most == S3_TAGS_MAX ? "Object tags" : "Bucket tag count",
                                           most));
        tags[count] = (StoreTag){ xml_text(tag, "Key"), xml_text(tag, "Value") };
        if (!tags[count].key.ptr || !tags[count].value.ptr)
            return s3_fail(s, S3_MalformedXML);
        if (!tag_check(s, tags, count))
            return false;
        count++;
    }
    *ret_tags = tags;
    *ret_count = count;
    return true;
}

void s3_tags_put(XmlWriter *w, const StoreTag *tags, size_t count)
{
    xml_open_in(w, "Tagging", S3_XMLNS);
    xml_open(w, "TagSet");
    for (size_t i = 0; i < count; i++) {
        xml_open(w, "Tag");
        xml_field(w, "Key", tags[i].key);
        xml_field(w, "Value", tags[i].value);
        xml_close(w, "Tag");
    }
    xml_close(w, "TagSet");
    xml_close(w, "Tagging");
}
