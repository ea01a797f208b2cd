/* Texts: versions, dates, ETags, checksums, as fields and as elements. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

/* "192.168.0.1": as a host it would be none of a bucket. */
bool s3_is_address(Str name)
{
    Str group;
    size_t count = 0;
    int64_t number;
    while (name.ptr && str_split(&name, '.', &group)) {
        if (!str_i64(group, &number) || group.len > 3)
            return false;
        count++;
    }
    return count == 4;
}

/* The number with its complement, so that a mistyped one is no other version. */
Str s3_version_text(S3Req *s, uint64_t sequence, bool null_version)
{
    if (null_version)
        return STR("null");
    return object_version(s->arena, sequence);
}

bool s3_version_parse(S3Req *s, Str text, uint64_t *ret_sequence)
{
    uint64_t sequence = 0;
    if (str_eq(text, STR("null"))) {
        *ret_sequence = STORE_VERSION_NULL;
        return true;
    }
    for (size_t i = 0; i < 16 && i < text.len; i++) {
        const char *digit = strchr("0123456789abcdef", text.ptr[i]);
        sequence = sequence << 4 | (uint64_t)(digit && *digit ? digit - "0123456789abcdef" : 0);
    }
    *ret_sequence = sequence;
    if (sequence != 0 && str_eq(s3_version_text(s, sequence, false), text))
        return true;
    return s3_fail_argument(s, "versionId", text, STR("Invalid version id specified"));
}

Str s3_http_date(Arena *arena, int64_t time_us)
{
    static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    int64_t seconds = time_us / 1000000, day = seconds / 86400, year;
    unsigned month, of_month, left = (unsigned)(seconds % 86400);
    civil_from_days(day, &year, &month, &of_month);
    return str_format(arena, "%s, %02u %s %04lld %02u:%02u:%02u GMT", days[day % 7], of_month,
                      months[month - 1], (long long)year, left / 3600, left / 60 % 60, left % 60);
}

bool s3_http_date_parse(Str text, int64_t *ret_us)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char iso[24];
    if (text.len != 29 || text.ptr[3] != ',')
        return false;
    ptrdiff_t month = str_find(str_z(months), str_sub(text, 8, 3));
    if (month < 0 || month % 3)
        return false;
    Buf out AUTO(buf_done);
    buf_init(&out, sizeof iso);
    buf_format(&out, STR_FMT "-%02d-" STR_FMT "T" STR_FMT "Z", STR_ARG(str_sub(text, 12, 4)),
               (int)month / 3 + 1, STR_ARG(str_sub(text, 5, 2)), STR_ARG(str_sub(text, 17, 8)));
    return time_parse(buf_str(&out), ret_us);
}

Str s3_iso_date(Arena *arena, int64_t time_us)
{
    Str whole = time_format(arena, time_us); /* 2026-11-22T18:25:00.000000Z */
    return str_format(arena, STR_FMT ".%03dZ", STR_ARG(str_sub(whole, 0, 19)),
                      (int)(time_us / 1000 % 1000));
}

Str s3_etag_of(S3Req *s, const uint8_t md5[16])
{
    return str_format(s->arena, "\"" STR_FMT "\"",
                      STR_ARG(hex_format(s->arena, str_of((const char *)md5, 16))));
}

Str s3_quoted_etag(S3Req *s, const ObjectInfo *info)
{
    return str_format(s->arena, "\"" STR_FMT "\"", STR_ARG(object_etag(s->arena, info)));
}

bool s3_etag_is(Str wanted, Str etag)
{
    wanted = str_trim(wanted);
    if (str_starts(wanted, STR("W/")))
        wanted = str_from(wanted, 2);
    if (wanted.len >= 2 && wanted.ptr[0] == '"' && wanted.ptr[wanted.len - 1] == '"')
        wanted = str_sub(wanted, 1, wanted.len - 2);
    return str_eq(wanted, etag);
}

void s3_put_encoded(XmlWriter *w, const char *name, Str text, bool url)
{
    Buf out AUTO(buf_done);
    buf_init(&out, text.len * 3 + 1);
    if (url)
        url_encode(&out, text, true);
    xml_field(w, name, url ? buf_str(&out) : text);
}

Str s3_number(S3Req *s, uint64_t number)
{
    return str_format(s->arena, "%llu", (unsigned long long)number);
}

Str s3_storage_class(const ObjectInfo *info)
{
    for (size_t i = 0; i < info->meta_count; i++) {
        if (str_eq(info->meta[i].key, STR("x-amz-storage-class")))
            return info->meta[i].value;
    }
    return STR("STANDARD");
}

/* What a checksum is called as a field, and as an element of XML. */
static const struct {
    const char *field, *element;
} checksum_names[DIGEST_KINDS] = {
    [DIGEST_MD5] = { "x-amz-checksum-md5", "ChecksumMD5" },
    [DIGEST_SHA1] = { "x-amz-checksum-sha1", "ChecksumSHA1" },
    [DIGEST_SHA256] = { "x-amz-checksum-sha256", "ChecksumSHA256" },
    [DIGEST_CRC32] = { "x-amz-checksum-crc32", "ChecksumCRC32" },
    [DIGEST_CRC32C] = { "x-amz-checksum-crc32c", "ChecksumCRC32C" },
    [DIGEST_CRC64NVME] = { "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME" },
    [DIGEST_SHA512] = { "x-amz-checksum-sha512", "ChecksumSHA512" },
    [DIGEST_XXHASH64] = { "x-amz-checksum-xxhash64", "ChecksumXXHASH64" },
    [DIGEST_XXHASH3] = { "x-amz-checksum-xxhash3", "ChecksumXXHASH3" },
    [DIGEST_XXHASH128] = { "x-amz-checksum-xxhash128", "ChecksumXXHASH128" },
};

const char *s3_checksum_name(DigestKind kind)
{
    return checksum_names[kind].field;
}

const char *s3_checksum_element(DigestKind kind)
{
    return checksum_names[kind].element;
}

Str s3_checksum_type(bool composite)
{
    return composite ? STR("COMPOSITE") : STR("FULL_OBJECT");
}

/* In base64; of parts' checksums with their number behind it. */
Str s3_checksum_text(S3Req *s, const ObjectInfo *info)
{
    Str value = s3_base64(s->arena, digest_str(&info->checksum));
    return info->part_count > 0 && info->checksum_composite
               ? str_format(s->arena, STR_FMT "-%zu", STR_ARG(value), info->part_count)
               : value;
}

void s3_checksum_header(S3Req *s, const ObjectInfo *info)
{
    if (info->checksum.kind == DIGEST_NONE)
        return;
    http_reply_header(s->r, s3_checksum_name(info->checksum.kind), s3_checksum_text(s, info));
    http_reply_header(s->r, "x-amz-checksum-type", s3_checksum_type(info->checksum_composite));
}

void s3_checksum_put(S3Req *s, XmlWriter *w, const DigestValue *value)
{
    if (value->kind != DIGEST_NONE)
        xml_field(w, s3_checksum_element(value->kind), s3_base64(s->arena, digest_str(value)));
}

void s3_version_header(S3Req *s, uint64_t sequence, bool null_version)
{
    if (s->info.versioning != VERSIONING_NEVER)
        http_reply_header(s->r, "x-amz-version-id", s3_version_text(s, sequence, null_version));
}

Str s3_base64(Arena *arena, Str bytes)
{
    Buf out AUTO(buf_done);
    buf_init(&out, bytes.len * 2 + 8);
    base64_put(&out, bytes);
    return str_copy(arena, buf_str(&out));
}
