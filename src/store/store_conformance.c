/* store_conformance.c: the one suite of the storage rows. */
#include "store/store_conformance.h"
#include "store/store_keep.h"

#include "base/test.h"
#include "format/checksum.h"

#include <stdlib.h>
#include <string.h>

#define BUCKET STR("bronze")

void pattern_fill(char *bytes, size_t len, uint64_t number, uint64_t at)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)((number * 131 + (at + i) * 7 + ((at + i) >> 9)) & 0xff);
}

Code pattern_put(Store *store, Str bucket, Str key, size_t len, uint64_t number, Err *err)
{
    char *bytes AUTO(mem_free) = mem_new(len + 1);
    pattern_fill(bytes, len, number, 0);
    StorePut put = { .bucket = bucket, .key = key };
    return store_put(store, &put, str_of(bytes, len), NULL, err);
}

/* What can be read without waiting is the same. */
static bool now_is(Store *store, Str bucket, Str key, Str wanted, uint64_t sequence)
{
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    char *got AUTO(mem_free) = mem_new(wanted.len + 1);
    size_t len = 0;
    if (store_reader_open_now(store, bucket, key, &reader, NULL) != E_OK)
        return true;
    if (object_reader_info(reader)->sequence != sequence)
        return true; /* replaced in the meantime */
    return wanted.len <= STORE_INLINE_MAX &&
           object_pread(reader, got, wanted.len + 1, 0, &len, NULL) == E_OK && str_eq(str_of(got, len), wanted);
}

bool pattern_is(Store *store, Str bucket, Str key, size_t len, uint64_t number)
{
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    Err err;
    if (store_reader_open(store, bucket, key, 0, &reader, &err) != E_OK)
        return false;
    const ObjectInfo *info = object_reader_info(reader);
    char *wanted AUTO(mem_free) = mem_new(len + 1);
    char *got AUTO(mem_free) = mem_new(len + 1);
    uint8_t digest[SHA256_LEN];
    pattern_fill(wanted, len, number, 0);
    sha256_of(str_of(wanted, len), digest);
    size_t got_len = 0;
    return info->size_bytes == len &&
           object_pread(reader, got, len + 1, 0, &got_len, &err) == E_OK && got_len == len &&
           memcmp(got, wanted, len) == 0 && now_is(store, bucket, key, str_of(wanted, len), info->sequence) &&
           (!info->has_sha256 || memcmp(digest, info->sha256, sizeof digest) == 0);
}

static Store *open_with_bucket(Os *os, const StoreOptions *options)
{
    Err err;
    Store *store = NULL;
    CHECK_OK(store_open(os, options, &store, &err), &err);
    ASSERT(store);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    return store;
}

void conform_put_and_read(Os *os, const StoreOptions *options)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = open_with_bucket(os, options);
    StoreTag tags[] = { { STR_INIT("source"), STR_INIT("skies") },
                        { STR_INIT("n"), STR_INIT("") } };
    StorePut put = { .bucket = BUCKET,
                     .key = STR("a/b"),
                     .content_type = STR("text/csv"),
                     .tags = tags,
                     .tag_count = 2,
                     .trust = TRUST_OURS };
    uint64_t sequence = 0;
    CHECK_OK(store_put(store, &put, STR("hello"), &sequence, &err), &err);
    CHECK_INT(sequence, 2);
    ObjectInfo info;
    CHECK_OK(store_head(store, BUCKET, STR("a/b"), &arena, &info, &err), &err);
    CHECK_INT(info.size_bytes, 5);
    CHECK_INT(info.sequence, 2);
    CHECK_INT(info.trust, TRUST_OURS);
    CHECK_STR(info.content_type, STR("text/csv"));
    CHECK_INT(info.tag_count, 2);
    CHECK_STR(info.tags[0].value, STR("skies"));
    CHECK(info.modified_us > 0);
    CHECK_OK(store_set_trust(store, BUCKET, STR("a/b"), 2, TRUST_REFUSED, &err), &err);
    CHECK_CODE(store_set_trust(store, BUCKET, STR("a/b"), 1, TRUST_OURS, &err), E_GONE);
    CHECK_OK(store_head(store, BUCKET, STR("a/b"), &arena, &info, &err), &err);
    CHECK_INT(info.trust, TRUST_REFUSED);
    CHECK_INT(info.sequence, 2);
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_OK(store_reader_open(store, BUCKET, STR("a/b"), 2, &reader, &err), &err);
    char bytes[16];
    size_t len;
    CHECK_OK(object_pread(reader, bytes, 16, 1, &len, &err), &err);
    CHECK_STR(str_of(bytes, len), STR("ello"));
    CHECK_OK(object_pread(reader, bytes, 16, 5, &len, &err), &err);
    CHECK_INT(len, 0);
    CHECK_OK(object_pread(reader, bytes, 16, UINT64_MAX, &len, &err), &err);
    CHECK_INT(len, 0);
    CHECK_OK(pattern_put(store, BUCKET, STR("empty"), 0, 1, &err), &err);
    CHECK(pattern_is(store, BUCKET, STR("empty"), 0, 1));
    CHECK_OK(store_delete(store, BUCKET, STR("a/b"), &err), &err);
    CHECK_CODE(store_delete(store, BUCKET, STR("a/b"), &err), E_NOT_FOUND);
    CHECK_CODE(store_head(store, BUCKET, STR("a/b"), &arena, &info, &err), E_NOT_FOUND);
    StoreUsage usage;
    CHECK_OK(store_usage(store, &usage, &err), &err);
    CHECK_INT(usage.objects, 1);
    CHECK_INT(usage.object_bytes, 0);
}

void conform_large_objects(Os *os, const StoreOptions *options)
{
    static const size_t sizes[] = { 1,         STORE_INLINE_MAX, STORE_INLINE_MAX + 1,
                                    3 * 65536, 1 << 20,          (1 << 20) + 1,
                                    2500001 };
    /* as bodies come: around what is gathered and what is checked as one */
    static const size_t pieces[] = { 70000, 1, 4095, 16384, 65536, 16383, 20000, 7 };
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = open_with_bucket(os, options);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        Str key = str_format(&arena, "size-%zu", sizes[i]);
        StagedObject *staged AUTO(store_stage_abort) = NULL;
        CHECK_OK(store_stage(store, &staged, &err), &err);
        if (i % 2)
            store_stage_expect(staged, sizes[i]);
        char piece[70000];
        for (uint64_t at = 0, step = i; at < sizes[i]; step++) {
            size_t len = (size_t)MIN((uint64_t)pieces[step % ARRAY_LEN(pieces)], sizes[i] - at);
            pattern_fill(piece, len, i, at);
            CHECK_OK(store_stage_write(staged, str_of(piece, len), &err), &err);
            at += len;
        }
        CHECK_OK(store_stage_finish(staged, &err), &err);
        CHECK_INT(store_stage_size(staged), sizes[i]);
        ObjectReader *early AUTO(object_reader_free) = NULL; /* before it has a key */
        CHECK_OK(store_stage_reader(staged, &early, &err), &err);
        char tail[8], wanted[8];
        size_t len;
        uint64_t at = sizes[i] - MIN(sizes[i], (size_t)8);
        CHECK_OK(object_pread(early, tail, 8, at, &len, &err), &err);
        pattern_fill(wanted, len, i, at);
        CHECK(memcmp(tail, wanted, len) == 0);
        StorePut put = { .take_staged = staged, .bucket = BUCKET, .key = key };
        CHECK_OK(store_publish(store, &put, 1, NULL, &err), &err);
        staged = put.take_staged;
        CHECK(!staged);
        CHECK(pattern_is(store, BUCKET, key, sizes[i], i));
    }
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_OK(store_reader_open(store, BUCKET, STR("size-2500001"), 0, &reader, &err), &err);
    static char got[300000], wanted[300000];
    for (uint64_t at = 0; at < 2500001; at += 99991) /* ranges across blocks */
        for (size_t len = 1; len <= sizeof got; len *= 60) {
            size_t got_len;
            CHECK_OK(object_pread(reader, got, len, at, &got_len, &err), &err);
            CHECK_INT(got_len, MIN((uint64_t)len, 2500001 - at));
            pattern_fill(wanted, got_len, 6, at);
            CHECK(memcmp(got, wanted, got_len) == 0);
        }
}

void conform_conditions(Os *os, const StoreOptions *options)
{
    Err err;
    Store *store AUTO(store_free) = open_with_bucket(os, options);
    StorePut put = { .bucket = BUCKET, .key = STR("k"), .condition = PUT_IF_ABSENT };
    uint64_t first = 0, second = 0;
    CHECK_OK(store_put(store, &put, STR("1"), &first, &err), &err);
    CHECK_CODE(store_put(store, &put, STR("2"), NULL, &err), E_PRECONDITION);
    put.condition = PUT_IF_SEQUENCE;
    put.if_sequence = first + 1;
    CHECK_CODE(store_put(store, &put, STR("2"), NULL, &err), E_PRECONDITION);
    put.if_sequence = first;
    CHECK_OK(store_put(store, &put, STR("2"), &second, &err), &err);
    CHECK(second > first);
    CHECK_CODE(store_put(store, &put, STR("3"), NULL, &err), E_PRECONDITION);
    put.key = STR("not there");
    CHECK_CODE(store_put(store, &put, STR("3"), NULL, &err), E_PRECONDITION);
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_CODE(store_reader_open(store, BUCKET, STR("k"), first, &reader, &err), E_GONE);
    CHECK_CODE(store_delete_version(store, BUCKET, STR("k"), first, &err), E_PRECONDITION);
    CHECK_OK(store_delete_version(store, BUCKET, STR("k"), second, &err), &err);
    put = (StorePut){ .bucket = BUCKET, .key = STR("k"), .condition = PUT_IF_ABSENT };
    CHECK_OK(store_put(store, &put, STR("4"), NULL, &err), &err);
    put.bucket = STR("no-such-bucket");
    CHECK_CODE(store_put(store, &put, STR("4"), NULL, &err), E_NOT_FOUND);
}

static StagedObject *staged_of(Store *store, size_t len, uint64_t number)
{
    Err err;
    StagedObject *staged = NULL;
    char *bytes AUTO(mem_free) = mem_new(len + 1);
    pattern_fill(bytes, len, number, 0);
    CHECK_OK(store_stage(store, &staged, &err), &err);
    CHECK_OK(store_stage_write(staged, str_of(bytes, len), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    return staged;
}

void conform_publish_all_or_nothing(Os *os, const StoreOptions *options)
{
    enum { COUNT = 6 };
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = open_with_bucket(os, options);
    CHECK_OK(pattern_put(store, BUCKET, STR("obj-5"), 10, 99, &err), &err);
    StorePut puts[COUNT];
    uint64_t sequences[COUNT];
    for (uint64_t i = 0; i < COUNT; i++)
        puts[i] = (StorePut){ .take_staged = staged_of(store, i % 2 ? 200000 : 3000, i),
                              .bucket = BUCKET,
                              .key = str_format(&arena, "obj-%d", (int)i),
                              .condition = PUT_IF_ABSENT };
    uint64_t before = store_sequence(store);
    CHECK_CODE(store_publish(store, puts, COUNT, sequences, &err), E_PRECONDITION);
    CHECK_INT(store_sequence(store), before);
    ObjectInfo info;
    for (int i = 0; i < COUNT - 1; i++)
        CHECK_CODE(store_head(store, BUCKET, puts[i].key, &arena, &info, &err), E_NOT_FOUND);
    for (int i = 0; i < COUNT; i++)
        CHECK(puts[i].take_staged != NULL);
    puts[5].key = STR("obj-0");
    CHECK_CODE(store_publish(store, puts, COUNT, sequences, &err), E_INVALID); /* one key twice */
    puts[5].key = STR("obj-6");
    CHECK_OK(store_publish(store, puts, COUNT, sequences, &err), &err);
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK(!puts[i].take_staged);
        CHECK_INT(sequences[i], before + 1 + i);
        CHECK(pattern_is(store, BUCKET, puts[i].key, i % 2 ? 200000 : 3000, i));
    }
    CHECK(pattern_is(store, BUCKET, STR("obj-5"), 10, 99));
}

static void check_page(Store *store, const StoreListQuery *query, const char *wanted,
                       bool truncated)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StoreListPage page = { 0 };
    Buf text AUTO(buf_done);
    buf_init(&text, 4096);
    CHECK_OK(store_list(store, query, &arena, &page, &err), &err);
    for (size_t i = 0; i < page.object_count; i++)
        buf_format(&text, STR_FMT " ", STR_ARG(page.objects[i].key));
    for (size_t i = 0; i < page.prefix_count; i++)
        buf_format(&text, "[" STR_FMT "] ", STR_ARG(page.prefixes[i]));
    CHECK_STR(buf_str(&text), str_z(wanted));
    CHECK_INT(page.truncated, truncated);
}

void conform_listing(Os *os, const StoreOptions *options)
{
    static const Str keys[] = {
        STR_INIT("a"),        STR_INIT("a\0b"),         STR_INIT("a\0"), STR_INIT("a/1"),
        STR_INIT("a/2"),      STR_INIT("a/x/3"),        STR_INIT("b"),   STR_INIT("b/"),
        STR_INIT("\xff\xff"), STR_INIT("\xff\xff\xff"), STR_INIT("c-1")
    };
    Err err;
    Store *store AUTO(store_free) = open_with_bucket(os, options);
    CHECK_OK(store_bucket_create(store, STR("bronze.b"), &err), &err);
    CHECK_OK(pattern_put(store, STR("bronze.b"), STR("other"), 1, 1, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        for (int twice = 0; twice < 2; twice++)
            CHECK_OK(pattern_put(store, BUCKET, keys[i], i, i, &err), &err);
    Arena arena AUTO(arena_done) = { 0 };
    StoreListPage page;
    StoreListQuery all = { .bucket = BUCKET };
    CHECK_OK(store_list(store, &all, &arena, &page, &err), &err);
    CHECK_INT(page.object_count, ARRAY_LEN(keys));
    for (size_t i = 1; i < page.object_count; i++)
        CHECK(str_cmp(page.objects[i - 1].key, page.objects[i].key) < 0);
    CHECK_STR(page.objects[2].key, STR("a\0b"));
    size_t seen = 0; /* the same in pages of each size */
    for (size_t limit = 1; limit < 5; limit++, seen = 0)
        for (StoreListQuery paged = { .bucket = BUCKET, .limit = limit };;) {
            StoreListPage part;
            CHECK_OK(store_list(store, &paged, &arena, &part, &err), &err);
            for (size_t i = 0; i < part.object_count && seen < page.object_count; i++, seen++)
                CHECK_STR(part.objects[i].key, page.objects[seen].key);
            paged.start_after = part.next;
            if (!part.truncated) {
                CHECK_INT(seen, page.object_count);
                break;
            }
        }
    StoreListQuery query = { .bucket = BUCKET, .prefix = STR("a/"), .delimiter = STR("/") };
    check_page(store, &query, "a/1 a/2 [a/x/] ", false);
    query.limit = 2;
    check_page(store, &query, "a/1 a/2 ", true);
    query.start_after = STR("a/2");
    check_page(store, &query, "[a/x/] ", false);
    query.start_after = STR("a/x/");
    check_page(store, &query, "", false);
    query = (StoreListQuery){ .bucket = BUCKET, .prefix = STR("b"), .delimiter = STR("/") };
    check_page(store, &query, "b [b/] ", false);
    query = (StoreListQuery){ .bucket = BUCKET, .start_after = STR("b/"), .delimiter = STR("/") };
    check_page(store, &query, "c-1 \xff\xff \xff\xff\xff ", false);
    query = (StoreListQuery){ .bucket = BUCKET, .prefix = STR("\xff\xff\xff") };
    check_page(store, &query, "\xff\xff\xff ", false);
    query = (StoreListQuery){ .bucket = BUCKET, .prefix = STR("zz") };
    check_page(store, &query, "", false);
    query.bucket = STR("not-there");
    CHECK_CODE(store_list(store, &query, &arena, &page, &err), E_NOT_FOUND);
}

void conform_buckets(Os *os, const StoreOptions *options)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = open_with_bucket(os, options);
    CHECK_CODE(store_bucket_create(store, BUCKET, &err), E_EXISTS);
    CHECK_OK(store_bucket_create(store, STR("aaa"), &err), &err);
    StoreBucket *buckets;
    size_t count = 0;
    CHECK_OK(store_bucket_list(store, &arena, &buckets, &count, &err), &err);
    CHECK_INT(count, 2);
    CHECK_STR(buckets[0].name, STR("aaa"));
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 3, 1, &err), &err);
    CHECK_CODE(store_bucket_delete(store, BUCKET, &err), E_CONFLICT);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
    CHECK_OK(store_bucket_delete(store, BUCKET, &err), &err);
    CHECK_CODE(store_bucket_delete(store, BUCKET, &err), E_NOT_FOUND);
    bool exists = true;
    CHECK_OK(store_bucket_exists(store, BUCKET, &exists, &err), &err);
    CHECK(!exists);
    CHECK_CODE(pattern_put(store, BUCKET, STR("k"), 3, 1, &err), E_NOT_FOUND);
}

void conform_feed(Os *os, const StoreOptions *options)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = open_with_bucket(os, options);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 7, 1, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 8, 1, &err), &err);
    CHECK_OK(store_set_trust(store, BUCKET, STR("k"), 3, TRUST_CHECKED, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
    static const StoreChangeKind kinds[] = { CHANGE_BUCKET_CREATE, CHANGE_PUT, CHANGE_PUT,
                                             CHANGE_TRUST, CHANGE_DELETE };
    StoreChange *changes;
    size_t count = 0;
    CHECK_OK(store_feed_read(store, 0, 0, &arena, &changes, &count, &err), &err);
    CHECK_INT(count, ARRAY_LEN(kinds));
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(changes[i].kind, kinds[i]);
        CHECK_INT(changes[i].sequence, i + 1);
    }
    CHECK_INT(changes[2].size_bytes, 8);
    CHECK_STR(changes[2].key, STR("k"));
    CHECK_OK(store_feed_read(store, 1, 2, &arena, &changes, &count, &err), &err);
    CHECK_INT(count, 2);
    CHECK_INT(changes[0].sequence, 2);
    CHECK_OK(store_feed_read(store, store_sequence(store), 0, &arena, &changes, &count, &err),
             &err);
    CHECK_INT(count, 0);
}

void conform_bad_input(Os *os, const StoreOptions *options)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = open_with_bucket(os, options);
    char *long_key = arena_alloc(&arena, STORE_KEY_MAX + 1);
    memset(long_key, 'k', STORE_KEY_MAX + 1);
    CHECK_CODE(pattern_put(store, BUCKET, str_of(long_key, STORE_KEY_MAX + 1), 1, 1, &err),
               E_INVALID);
    CHECK_OK(pattern_put(store, BUCKET, str_of(long_key, STORE_KEY_MAX), 1, 1, &err), &err);
    memset(long_key, 0, STORE_KEY_MAX);
    CHECK_OK(pattern_put(store, BUCKET, str_of(long_key, STORE_KEY_MAX), 1, 2, &err), &err);
    CHECK(pattern_is(store, BUCKET, str_of(long_key, STORE_KEY_MAX), 1, 2));
    CHECK_OK(pattern_put(store, BUCKET, STR("../../etc/passwd\n"), 1, 3, &err), &err);
    CHECK(pattern_is(store, BUCKET, STR("../../etc/passwd\n"), 1, 3));
    CHECK_CODE(pattern_put(store, BUCKET, STR(""), 1, 1, &err), E_INVALID);
    static const Str names[] = { STR_INIT("ab"),   STR_INIT("Abc"), STR_INIT("-ab"),
                                 STR_INIT("a..b"), STR_INIT("a/b"), STR_INIT("a\0b"),
                                 STR_INIT("") };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        CHECK_CODE(store_bucket_create(store, names[i], &err), E_INVALID);
    StoreTag tags[STORE_TAGS_MAX + 1] = { 0 };
    StorePut put = {
        .bucket = BUCKET, .key = STR("k"), .tags = tags, .tag_count = ARRAY_LEN(tags)
    };
    CHECK_CODE(store_put(store, &put, STR("x"), NULL, &err), E_LIMIT);
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    CHECK_OK(store_stage(store, &staged, &err), &err);
    put = (StorePut){ .take_staged = staged, .bucket = BUCKET, .key = STR("k") };
    CHECK_CODE(store_publish(store, &put, 1, NULL, &err), E_INVALID); /* not finished */
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_CODE(store_stage_reader(staged, &reader, &err), E_INVALID);
    Str bucket, key;
    CHECK(store_address_parse(STR("s3://bronze/a/b"), &bucket, &key));
    CHECK_STR(key, STR("a/b"));
    CHECK(!store_address_parse(STR("s3://bronze"), &bucket, &key));
    CHECK(!store_address_parse(STR("s3://bronze/"), &bucket, &key));
    CHECK(!store_address_parse(STR("s4://bronze/a"), &bucket, &key));
    CHECK(!store_address_parse(STR("s3://BRONZE/a"), &bucket, &key));
}

void conform_readers_outlive_objects(Os *os, const StoreOptions *options)
{
    Err err;
    Store *store AUTO(store_free) = open_with_bucket(os, options);
    for (size_t size = 1000; size < 1000000; size += 300000) {
        CHECK_OK(pattern_put(store, BUCKET, STR("k"), size, 5, &err), &err);
        ObjectReader *reader AUTO(object_reader_free) = NULL;
        CHECK_OK(store_reader_open(store, BUCKET, STR("k"), 0, &reader, &err), &err);
        CHECK_OK(pattern_put(store, BUCKET, STR("k"), 10, 6, &err), &err);
        CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
        char *got AUTO(mem_free) = mem_new(size);
        char *wanted AUTO(mem_free) = mem_new(size);
        pattern_fill(wanted, size, 5, 0);
        size_t len;
        CHECK_OK(object_pread(reader, got, size, 0, &len, &err), &err);
        CHECK(len == size && memcmp(got, wanted, size) == 0);
    }
}
