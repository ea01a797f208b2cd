/* object.h: what the store says of objects, their versions and their buckets, and its limits.
 * Owner:   texts live in the arena that the call was given.
 * Threads: any.
 * Errors:  none.
 * Limits:  the enum below.
 * Units:   bytes; _us: microseconds since 1970 UTC; sequence: number of the change, from 1. */
#pragma once

#include "base/str.h"
#include "format/digest.h"

enum {
    STORE_BUCKET_MIN = 3,
    STORE_BUCKET_MAX = 63, /* a-z 0-9 - . ; starts and ends with a letter or digit */
    STORE_KEY_MAX = 1024,  /* opaque bytes, at least one */
    STORE_CONTENT_TYPE_MAX = 256,
    STORE_TAGS_MAX = 64,
    STORE_TAG_KEY_MAX = 128,
    STORE_TAG_VALUE_MAX = 2048,
    STORE_META_MAX = 128,          /* fields that are kept for readers */
    STORE_META_NAME_MAX = 1024,
    STORE_META_VALUE_MAX = 8192,
    STORE_OWNER_MAX = 128,
    STORE_PARTS_MAX = 10000,
    STORE_PROPERTIES_MAX = 16,     /* of a bucket */
    STORE_PROPERTY_NAME_MAX = 32,
    STORE_PROPERTY_MAX = 64 * 1024,
    STORE_DELETE_MAX = 1000,       /* deletes of one call */
    STORE_UPLOAD_ID_LEN = 16,
    STORE_LIST_MAX = 1000,         /* objects and prefixes of one page */
    STORE_FEED_MAX = 10000,        /* changes of one read */
    STORE_PUBLISH_MAX = 10000,     /* puts of one group */
    STORE_INLINE_MAX = 128 * 1024, /* bodies up to this travel in the journal */
    STORE_BLOCK_BYTES = 64 * 1024, /* one CRC32C each */
    OBJECT_ROOM_BYTES = STORE_BLOCK_BYTES,
    STORE_TRASH_SECONDS = 3600     /* by default */
};
#define STORE_FEED_JOURNAL_BYTES ((uint64_t)1 << 30) /* by default */
#define STORE_OBJECT_MAX ((uint64_t)1 << 40)

/* Trust is a property of the object's version. */
typedef enum ObjectTrust { TRUST_UNKNOWN, TRUST_OURS, TRUST_CHECKED, TRUST_REFUSED } ObjectTrust;

typedef struct StoreTag {
    Str key;
    Str value;
} StoreTag;

/* A part of an object that was uploaded in parts. */
typedef struct StorePart {
    uint32_t number; /* 1 to STORE_PARTS_MAX */
    uint64_t size_bytes;
    uint8_t md5[16];
    DigestValue checksum;
    bool has_crc64; /* its CRC64NVME beside a checksum of another kind, for the whole */
    uint8_t crc64[8];
} StorePart;

typedef struct StoreUploadId {
    uint8_t bytes[STORE_UPLOAD_ID_LEN]; /* the time first, so that they sort by it */
} StoreUploadId;

typedef struct ObjectInfo {
    Str bucket;
    Str key;
    uint64_t size_bytes;
    uint64_t sequence; /* of the put that made this version */
    int64_t modified_us;
    bool delete_marker; /* no object: the key looks deleted while this version is the newest */
    bool null_version;  /* made while its bucket did not count versions */
    bool has_sha256;    /* of the whole; not known of objects in parts */
    bool has_md5;       /* given by the writer; else the etag comes from the SHA-256 */
    bool checksum_composite;
    uint8_t sha256[32];
    uint8_t md5[16]; /* of the bytes; of an object in parts: of its parts' MD5s */
    DigestValue checksum; /* that the writer asked for */
    ObjectTrust trust;
    Str content_type;
    Str owner;
    StoreTag *tags;
    size_t tag_count;
    StoreTag *meta; /* header fields that readers get back */
    size_t meta_count;
    size_t part_count; /* 0: not in parts */
    StorePart *parts;  /* of store_head and object_reader_info; NULL in listings */
} ObjectInfo;

typedef enum StoreVersioning {
    VERSIONING_NEVER,  /* a put replaces, a delete removes */
    VERSIONING_ENABLED,
    VERSIONING_SUSPENDED /* puts and deletes make and replace the null version, the others stay */
} StoreVersioning;

typedef struct StoreProperty {
    Str name; /* "cors", "tags": the caller's */
    Str value;
} StoreProperty;

typedef struct StoreBucket {
    Str name;
    int64_t created_us;
    uint64_t sequence; /* of its last change */
    StoreVersioning versioning;
    Str owner;
    StoreProperty *properties;
    size_t property_count;
    uint64_t objects;     /* keys whose newest version is no delete marker */
    uint64_t versions;    /* with bytes */
    uint64_t bytes;       /* of them */
    uint64_t trash_bytes; /* deleted or replaced, kept for a while */
    uint64_t uploads;     /* begun, neither completed nor aborted */
} StoreBucket;
