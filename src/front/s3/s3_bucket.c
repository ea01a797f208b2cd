/* Buckets: made, removed, listed, set up; the questions that clients ask of a fresh one. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

static bool body_xml(S3Req *s, const char *root_name, const XmlNode **ret_root)
{
    if (xml_parse(s->arena, buf_str(&s->text), ret_root, NULL) != E_OK ||
        !str_eq((*ret_root)->name, str_z(root_name)))
        return s3_fail(s, S3_MalformedXML);
    return true;
}

void s3_list_buckets(S3Req *s)
{
    StoreBucket *buckets;
    size_t count;
    Err err;
    Buf body;
    if (!api_key_allowed(&s->call, &s->grant, "s3:ListAllMyBuckets", STR("*"), STR_NONE)) {
        s3_fail(s, S3_AccessDenied);
        return;
    }
    if (api_buckets(&s->call, &buckets, &count, &err) != E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "ListAllMyBucketsResult", S3_XMLNS);
    xml_open(&w, "Owner");
    xml_field(&w, "ID", s->call.principal.id);
    xml_field(&w, "DisplayName", s->call.principal.name);
    xml_close(&w, "Owner");
    xml_open(&w, "Buckets");
    Str prefix = s3_param(s, "prefix"), after = s3_param(s, "continuation-token"), next = STR_NONE;
    Str region = s3_param(s, "bucket-region");
    bool elsewhere = region.len > 0 && !str_eq(region, s->server->options.region);
    int64_t most = 10000, given = 0;
    Str max_text = s3_param(s, "max-buckets");
    if (max_text.ptr && (!str_i64(max_text, &most) || most < 1 || most > 10000)) {
        buf_done(&body);
        s3_fail_argument(s, "max-buckets", max_text,
                         STR("Argument max-buckets must be an integer between 1 and 10000."));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (elsewhere || !str_starts(buckets[i].name, prefix) || str_cmp(buckets[i].name, after) <= 0 ||
            !govern_bucket_may(&s->call.principal, BUCKET_LIST, buckets[i].owner))
            continue;
        if (given++ == most) {
            xml_close(&w, "Buckets");
            xml_field(&w, "ContinuationToken", next);
            break;
        }
        next = buckets[i].name;
        xml_open(&w, "Bucket");
        xml_field(&w, "Name", buckets[i].name);
        xml_field(&w, "CreationDate", s3_iso_date(s->arena, buckets[i].created_us));
        xml_field(&w, "BucketRegion", s->server->options.region);
        xml_close(&w, "Bucket");
    }
    if (given <= most)
        xml_close(&w, "Buckets");
    if (prefix.len > 0)
        xml_field(&w, "Prefix", prefix);
    xml_close(&w, "ListAllMyBucketsResult");
    s3_reply_xml(s, 200, &body);
}

/* ACLs are off, as on a new bucket of AWS: what would turn them on is refused. */
static bool ownership_ok(S3Req *s)
{
    Str ownership = s3_field(s, "x-amz-object-ownership"), acl = s3_field(s, "x-amz-acl");
    bool enforced = ownership.len == 0 || str_eq(ownership, STR("BucketOwnerEnforced"));
    if (!s3_acl_named(s, acl))
        return false;
    if (!enforced && !str_eq(ownership, STR("BucketOwnerPreferred")) &&
        !str_eq(ownership, STR("ObjectWriter")))
        return s3_fail_argument(s, "x-amz-object-ownership", STR_NONE,
                                str_format(s->arena,
                                           "Invalid x-amz-object-ownership header: " STR_FMT,
                                           STR_ARG(ownership)));
    if (!enforced)
        return s3_fail_with(s, S3_NotImplemented, STR_NONE, "Header",
                            STR("x-amz-object-ownership"));
    return acl.len == 0 || str_eq(acl, STR("private")) ||
           s3_fail(s, S3_InvalidBucketAclWithObjectOwnership);
}

/* Tags of a CreateBucketConfiguration: <Tags><Tag>...; kept as those of PutBucketTagging. */
static bool tags_take(S3Req *s, const XmlNode *root, Buf *kept)
{
    StoreTag *tags;
    size_t count;
    const XmlNode *set = xml_child(root, "Tags");
    if (!set)
        return true;
    if (!s3_tags_of(s, set, S3_BUCKET_TAGS_MAX, &tags, &count))
        return false;
    XmlWriter w = xml_writer(kept);
    s3_tags_put(&w, tags, count);
    return true;
}

static bool location_ok(S3Req *s, Buf *kept)
{
    const XmlNode *root;
    if (s->text.len == 0)
        return true;
    if (xml_parse(s->arena, buf_str(&s->text), &root, NULL) != E_OK ||
        !str_eq(root->name, STR("CreateBucketConfiguration")))
        return s3_fail(s, S3_MalformedXML);
    if (!tags_take(s, root, kept))
        return false;
    Str wanted = xml_text(root, "LocationConstraint");
    if (wanted.len == 0 || str_eq(wanted, s->server->options.region))
        return true;
    return s3_fail_with(s, S3_InvalidLocationConstraint, STR_NONE, "LocationConstraint", wanted);
}

/* One's own bucket again: as on AWS, where us-east-1 says 200 and every other region 409. */
static bool exists_answer(S3Req *s)
{
    StoreBucket old;
    Err err;
    if (api_bucket_get(&s->call, s->bucket, &old, &err) != E_OK)
        return s3_fail_err(s, &err);
    bool own = str_eq(old.owner, s->call.principal.id);
    if (own && str_eq(s->server->options.region, STR("us-east-1")))
        return true;
    return s3_fail_with(s, own ? S3_BucketAlreadyOwnedByYou : S3_BucketAlreadyExists, STR_NONE,
                        "BucketName", s->bucket);
}

void s3_create_bucket(S3Req *s)
{
    Err err;
    Buf kept AUTO(buf_done);
    buf_init(&kept, STORE_PROPERTY_MAX);
    if (s3_is_address(s->bucket)) {
        s3_fail_with(s, S3_InvalidBucketName, STR_NONE, "BucketName", s->bucket);
        return;
    }
    if (!ownership_ok(s) || !location_ok(s, &kept))
        return;
    if (str_ieq(s3_field(s, "x-amz-bucket-object-lock-enabled"), STR("true"))) {
        s3_fail(s, S3_NotImplemented);
        return;
    }
    Code code = api_bucket_create(&s->call, s->bucket, &err);
    if (code == E_OK && kept.len > 0)
        code = api_bucket_set_property(&s->call, s->bucket, STR("tagging"), buf_str(&kept), &err);
    if (code == E_EXISTS && !exists_answer(s))
        return;
    if (code != E_OK && code != E_EXISTS) {
        s3_fail_err(s, &err);
        return;
    }
    http_reply_header(s->r, "x-amz-bucket-arn",
                      str_format(s->arena, "arn:aws:s3:::" STR_FMT, STR_ARG(s->bucket)));
    http_reply_header(s->r, "Location", str_format(s->arena, "/" STR_FMT, STR_ARG(s->bucket)));
    s3_reply_empty(s, 200);
}

void s3_delete_bucket(S3Req *s)
{
    Err err;
    Code code = api_bucket_delete(&s->call, s->bucket, &err);
    if (code == E_CONFLICT)
        s3_fail_with(s, S3_BucketNotEmpty,
                     s->info.versioning == VERSIONING_NEVER
                         ? STR_NONE
                         : STR("The bucket you tried to delete is not empty. You must delete all "
                               "versions in the bucket."),
                     "BucketName", s->bucket);
    else if (code == E_NOT_FOUND)
        s3_fail(s, S3_NoSuchBucket);
    else if (code != E_OK)
        s3_fail_err(s, &err);
    else
        s3_reply_empty(s, 204);
}

void s3_head_bucket(S3Req *s)
{
    http_reply_header(s->r, "x-amz-bucket-region", s->server->options.region);
    http_reply_header(s->r, "x-amz-bucket-arn",
                      str_format(s->arena, "arn:aws:s3:::" STR_FMT, STR_ARG(s->bucket)));
    http_reply_header(s->r, "x-amz-access-point-alias", STR("false"));
    http_reply(s->r, 200, "application/xml", STR(""));
}

void s3_get_location(S3Req *s)
{
    Buf body;
    buf_init(&body, 4096);
    XmlWriter w = xml_writer(&body);
    Str region = s->server->options.region;
    xml_open_in(&w, "LocationConstraint", S3_XMLNS);
    xml_put_text(&body, str_eq(region, STR("us-east-1")) ? STR("") : region);
    xml_close(&w, "LocationConstraint");
    s3_reply_xml(s, 200, &body);
}

void s3_get_versioning(S3Req *s)
{
    Buf body;
    buf_init(&body, 4096);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "VersioningConfiguration", S3_XMLNS);
    if (s->info.versioning != VERSIONING_NEVER)
        xml_field(&w, "Status",
                  s->info.versioning == VERSIONING_ENABLED ? STR("Enabled") : STR("Suspended"));
    xml_close(&w, "VersioningConfiguration");
    s3_reply_xml(s, 200, &body);
}

void s3_put_versioning(S3Req *s)
{
    const XmlNode *root;
    Err err;
    if (!body_xml(s, "VersioningConfiguration", &root))
        return;
    Str status = xml_text(root, "Status");
    bool enabled = str_eq(status, STR("Enabled"));
    if (!enabled && !str_eq(status, STR("Suspended"))) {
        s3_fail(s, S3_MalformedXML);
        return;
    }
    if (str_eq(xml_text(root, "MfaDelete"), STR("Enabled"))) { /* nobody would ask for the second factor */
        s3_fail_with(s, S3_NotImplemented, STR_NONE, "Element", STR("MfaDelete"));
        return;
    }
    if (api_bucket_set_versioning(
            &s->call, s->bucket, enabled ? VERSIONING_ENABLED : VERSIONING_SUSPENDED, &err) != E_OK)
        s3_fail_err(s, &err);
    else
        s3_reply_empty(s, 200);
}

/* ---- properties, kept as the XML that came ---- */

Str s3_property(const S3Req *s, const char *name)
{
    for (size_t i = 0; i < s->info.property_count; i++) {
        if (str_eq(s->info.properties[i].name, str_z(name)))
            return s->info.properties[i].value;
    }
    return STR_NONE;
}

static void property_get(S3Req *s, const char *name, S3Code missing)
{
    Str value = s3_property(s, name);
    if (!value.ptr)
        s3_fail_with(s, missing, STR_NONE, "BucketName", s->bucket);
    else
        http_reply(s->r, 200, "application/xml", value);
}

static void property_set(S3Req *s, const char *name, Str value, int status)
{
    Err err;
    if (api_bucket_set_property(&s->call, s->bucket, str_z(name), value, &err) != E_OK)
        s3_fail_err(s, &err);
    else
        s3_reply_empty(s, status);
}

void s3_get_bucket_tagging(S3Req *s)
{
    property_get(s, "tagging", S3_NoSuchTagSet);
}

void s3_put_bucket_tagging(S3Req *s)
{
    const XmlNode *root;
    StoreTag *tags;
    size_t count;
    Buf kept AUTO(buf_done);
    buf_init(&kept, STORE_PROPERTY_MAX);
    if (!body_xml(s, "Tagging", &root) || !s3_tags_xml(s, root, S3_BUCKET_TAGS_MAX, &tags, &count))
        return;
    XmlWriter w = xml_writer(&kept);
    s3_tags_put(&w, tags, count);
    property_set(s, "tagging", buf_str(&kept), 204);
}

void s3_delete_bucket_tagging(S3Req *s)
{
    property_set(s, "tagging", STR_NONE, 204);
}

void s3_get_cors(S3Req *s)
{
    property_get(s, "cors", S3_NoSuchCORSConfiguration);
}

void s3_put_cors(S3Req *s)
{
    const XmlNode *root;
    if (body_xml(s, "CORSConfiguration", &root) && s3_cors_ok(s, root))
        property_set(s, "cors", buf_str(&s->text), 200);
}

void s3_delete_cors(S3Req *s)
{
    property_set(s, "cors", STR_NONE, 204);
}

/* ---- what a fresh bucket answers ---- */

void s3_get_acl(S3Req *s)
{
    Buf body;
    Str owner = s->info.owner.len ? s->info.owner : STR("tarn");
    buf_init(&body, 8192);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "AccessControlPolicy", S3_XMLNS);
    xml_open(&w, "Owner");
    xml_field(&w, "ID", owner);
    xml_close(&w, "Owner");
    xml_open(&w, "AccessControlList");
    xml_open(&w, "Grant");
    buf_put(&body, STR("<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
                       "xsi:type=\"CanonicalUser\">"));
    xml_field(&w, "ID", owner);
    xml_close(&w, "Grantee");
    xml_field(&w, "Permission", STR("FULL_CONTROL"));
    xml_close(&w, "Grant");
    xml_close(&w, "AccessControlList");
    xml_close(&w, "AccessControlPolicy");
    s3_reply_xml(s, 200, &body);
}

/* <Grant>s: only the owner's own control, which is how it is. */
static bool grants_ok(S3Req *s, const XmlNode *root)
{
    for (const XmlNode *g = xml_child(xml_child(root, "AccessControlList"), "Grant"); g;
         g = xml_next(g, "Grant")) {
        if (!str_eq(xml_text(g, "Permission"), STR("FULL_CONTROL")) ||
            !str_eq(xml_text(xml_child(g, "Grantee"), "ID"), s->info.owner))
            return s3_fail(s, S3_AccessControlListNotSupported);
    }
    return true;
}

void s3_put_acl(S3Req *s)
{
    const XmlNode *root = NULL;
    ObjectInfo info;
    if (!s3_acl_ok(s) || (s->key.len > 0 && !s3_head_version(s, &info)))
        return;
    if (s3_field(s, "x-amz-acl").len == 0 &&
        (!body_xml(s, "AccessControlPolicy", &root) || !grants_ok(s, root)))
        return;
    s3_reply_empty(s, 200);
}

void s3_get_ownership(S3Req *s)
{
    Buf body;
    buf_init(&body, 4096);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "OwnershipControls", S3_XMLNS);
    xml_open(&w, "Rule");
    xml_field(&w, "ObjectOwnership", STR("BucketOwnerEnforced"));
    xml_close(&w, "Rule");
    xml_close(&w, "OwnershipControls");
    s3_reply_xml(s, 200, &body);
}

void s3_no_policy(S3Req *s)
{
    s3_fail_with(s, S3_NoSuchBucketPolicy, STR_NONE, "BucketName", s->bucket);
}

void s3_no_website(S3Req *s)
{
    s3_fail_with(s, S3_NoSuchWebsiteConfiguration, STR_NONE, "BucketName", s->bucket);
}

void s3_no_lifecycle(S3Req *s)
{
    s3_fail_with(s, S3_NoSuchLifecycleConfiguration, STR_NONE, "BucketName", s->bucket);
}

void s3_no_object_lock(S3Req *s)
{
    s3_fail_with(s, S3_ObjectLockConfigurationNotFoundError, STR_NONE, "BucketName", s->bucket);
}

void s3_no_encryption(S3Req *s)
{
    s3_fail_with(s, S3_ServerSideEncryptionConfigurationNotFoundError, STR_NONE, "BucketName",
                 s->bucket);
}

void s3_no_replication(S3Req *s)
{
    s3_fail_with(s, S3_ReplicationConfigurationNotFoundError, STR_NONE, "BucketName", s->bucket);
}
