/* keys.c: the keys of the index. Byte order of these keys is the order of listings.
 *
 *   s                                             the state of the store
 *   b BUCKET                                      a bucket
 *   o BUCKET 00 KEY' 00 00 ~SEQUENCE              a version, the latest first; KEY' has 00 as 00 ff
 *   d BUCKET 00 KEY' 00 00 ~SEQUENCE              a version in the trash
 *   n BUCKET 00 KEY' 00 00                         sequence of its null version, when newer ones hide it
 *   f SEQUENCE                                    a change of the feed
 *   q BUCKET                                      how many versions and bytes it has
 *   u BUCKET 00 KEY' 00 00 ID                     an upload that goes on
 *   p ID NUMBER                                   a part of it
 *   g SEGMENT                                     how many bytes live in it
 *   t TIME SEQUENCE                               a version that is trash since then: its row
 *   t TIME BLOB                                   bytes without a name that are trash since then
 *   x BLOB                                        the version that a blob belongs to
 * Numbers are big endian. A bucket's name has no zero byte. */
#include "store/store_priv.h"

#include <string.h>

enum { VERSION_TAIL = 2 + 8 };

void key_state(Buf *buf)
{
    buf_put_char(buf, 's');
}

void key_bucket(Buf *buf, Str bucket)
{
    buf_put_char(buf, 'b');
    buf_put(buf, bucket);
}

void key_bucket_objects(Buf *buf, Str bucket)
{
    buf_put_char(buf, 'o');
    buf_put(buf, bucket);
    buf_put_char(buf, 0);
}

static void key_escaped(Buf *buf, Str key)
{
    for (ptrdiff_t zero; (zero = str_find_char(key, 0)) >= 0; key = str_from(key, (size_t)zero + 1)) {
        buf_put(buf, str_sub(key, 0, (size_t)zero + 1));
        buf_put_char(buf, (char)0xff);
    }
    buf_put(buf, key);
}

void key_prefix(Buf *buf, Str bucket, Str prefix)
{
    key_bucket_objects(buf, bucket);
    key_escaped(buf, prefix);
}

void key_object(Buf *buf, Str bucket, Str key)
{
    key_prefix(buf, bucket, key);
    buf_put_zeros(buf, 2);
}

void key_version(Buf *buf, Str bucket, Str key, uint64_t sequence)
{
    key_object(buf, bucket, key);
    write_u64be(buf, ~sequence);
}

void key_trashed(Buf *buf, Str bucket, Str key, uint64_t sequence)
{
    size_t at = buf->len;
    key_version(buf, bucket, key, sequence);
    buf->ptr[at] = 'd';
}

void key_null(Buf *buf, Str bucket, Str key)
{
    size_t at = buf->len;
    key_object(buf, bucket, key);
    buf->ptr[at] = 'n';
}

void key_change(Buf *buf, uint64_t sequence)
{
    buf_put_char(buf, 'f');
    write_u64be(buf, sequence);
}

void key_blob(Buf *buf, const BlobId *blob)
{
    buf_put_char(buf, 'x');
    buf_put(buf, str_of(blob->bytes, sizeof blob->bytes));
}

void key_usage(Buf *buf, Str bucket)
{
    buf_put_char(buf, 'q');
    buf_put(buf, bucket);
}

void key_bucket_uploads(Buf *buf, Str bucket)
{
    buf_put_char(buf, 'u');
    buf_put(buf, bucket);
    buf_put_char(buf, 0);
}

void key_upload_prefix(Buf *buf, Str bucket, Str prefix)
{
    key_bucket_uploads(buf, bucket);
    key_escaped(buf, prefix);
}

void key_upload(Buf *buf, Str bucket, Str key, const StoreUploadId *id)
{
    key_upload_prefix(buf, bucket, key);
    buf_put_zeros(buf, 2);
    buf_put(buf, str_of(id->bytes, sizeof id->bytes));
}

void key_parts(Buf *buf, const StoreUploadId *id)
{
    buf_put_char(buf, 'p');
    buf_put(buf, str_of(id->bytes, sizeof id->bytes));
}

void key_part(Buf *buf, const StoreUploadId *id, uint32_t number)
{
    key_parts(buf, id);
    write_u32be(buf, number);
}

static Str unescaped(Arena *arena, Str escaped)
{
    if (str_find_char(escaped, 0) < 0)
        return str_copy(arena, escaped);
    char *key = arena_alloc(arena, escaped.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < escaped.len; i++) {
        key[len++] = escaped.ptr[i];
        if (escaped.ptr[i] == 0)
            i++; /* ff */
    }
    return str_of(key, len);
}

Code key_upload_parse(Str index_key, Arena *arena, Str *ret_key, StoreUploadId *ret_id, Err *err)
{
    enum { TAIL = 2 + STORE_UPLOAD_ID_LEN };
    ptrdiff_t zero = str_find_char(index_key, 0);
    if (zero < 1 || index_key.ptr[0] != 'u' || index_key.len < (size_t)zero + 1 + TAIL)
        return err_set(err, E_CORRUPT, "a key of the index is damaged");
    *ret_key = unescaped(arena, str_sub(index_key, (size_t)zero + 1,
                                        index_key.len - (size_t)zero - 1 - TAIL));
    memcpy(ret_id->bytes, index_key.ptr + index_key.len - STORE_UPLOAD_ID_LEN, STORE_UPLOAD_ID_LEN);
    return E_OK;
}

Str key_all_versions(Str index_key)
{
    return str_sub(index_key, 0, index_key.len - sizeof(uint64_t));
}

Code key_object_parse(Str index_key, Arena *arena, Str *ret_bucket, Str *ret_key,
                      uint64_t *ret_sequence, Err *err)
{
    ptrdiff_t zero = str_find_char(index_key, 0);
    if (zero < 1 || (index_key.ptr[0] != 'o' && index_key.ptr[0] != 'd') ||
        index_key.len < (size_t)zero + 1 + VERSION_TAIL)
        return err_set(err, E_CORRUPT, "a key of the index is damaged");
    Str escaped = str_sub(index_key, zero + 1, index_key.len - zero - 1 - VERSION_TAIL);
    Reader r = reader_of(str_from(index_key, index_key.len - 8));
    *ret_bucket = str_copy(arena, str_sub(index_key, 1, zero - 1));
    *ret_key = unescaped(arena, escaped);
    *ret_sequence = ~read_u64be(&r);
    return E_OK;
}
