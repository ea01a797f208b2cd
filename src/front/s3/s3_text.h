/* s3_text.h: versions, dates, ETags and checksums as texts of fields and of XML.
 * Owner:   texts live in the request's arena.
 * Threads: one at a time, the request's.
 * Errors:  s3_version_parse and s3_limit_take answer and return false.
 * Limits:  none.
 * Units:   _us: microseconds since 1970 UTC. Only s3_priv.h includes it. */
#pragma once

Str s3_version_text(S3Req *s, uint64_t sequence, bool null_version);
bool s3_version_parse(S3Req *s, Str text, uint64_t *ret_sequence);
void s3_version_header(S3Req *s, uint64_t sequence, bool null_version); /* once versions count */

Str s3_http_date(Arena *arena, int64_t time_us);
bool s3_http_date_parse(Str text, int64_t *ret_us);
Str s3_iso_date(Arena *arena, int64_t time_us);

Str s3_etag_of(S3Req *s, const uint8_t md5[16]); /* quoted */
Str s3_quoted_etag(S3Req *s, const ObjectInfo *info);
bool s3_etag_is(Str wanted, Str etag); /* quoted, bare or &quot; */

const char *s3_checksum_name(DigestKind kind);    /* "x-amz-checksum-crc32c" */
const char *s3_checksum_element(DigestKind kind); /* "ChecksumCRC32C" */
Str s3_checksum_type(bool composite);
Str s3_storage_class(const ObjectInfo *info); /* "STANDARD", or the one that it was put with */
Str s3_checksum_text(S3Req *s, const ObjectInfo *info);
void s3_checksum_header(S3Req *s, const ObjectInfo *info);
void s3_checksum_put(S3Req *s, XmlWriter *w, const DigestValue *value);

/* `text` empty: *ret_limit stays as it is. */
bool s3_limit_take(S3Req *s, const char *name, Str text, int64_t *ret_limit);
void s3_put_encoded(XmlWriter *w, const char *name, Str text, bool url);
Str s3_base64(Arena *arena, Str bytes);
Str s3_number(S3Req *s, uint64_t number);
bool s3_is_address(Str name); /* "192.168.0.1" */
