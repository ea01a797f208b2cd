/* The script of tests/s3_clients with AWS's SDK for Java v2: S3Script blocking|async END-POINT BUCKET. Keys and region are in the environment. */
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.*;

public class S3Script {
    static final byte[] SMALL = "bronze, silver, gold\n".getBytes(StandardCharsets.UTF_8);
    static final List<String> ODD = List.of("a b", "ü ß/日本", "p+q", "a//b", "100%25 & ?x=1;y#z", "dots.. and ~*'()!");

    /** What the two kinds of client have in common. */
    interface Door {
        void put(PutObjectRequest request, byte[] body);
        byte[] get(GetObjectRequest request);
        HeadObjectResponse head(HeadObjectRequest request);
        ListObjectsV2Response list(ListObjectsV2Request request);
        void create(String bucket);
        List<Bucket> buckets();
        void copy(CopyObjectRequest request);
        void tag(PutObjectTaggingRequest request);
        List<Tag> tags(GetObjectTaggingRequest request);
        DeleteObjectsResponse delete(DeleteObjectsRequest request);
        void putLarge(PutObjectRequest request, byte[] body);
    }

    static class Blocking implements Door {
        final S3Client s3;

        Blocking(URI at, StaticCredentialsProvider keys) {
            var builder = S3Client.builder().endpointOverride(at).forcePathStyle(true);
            s3 = (keys == null ? builder : builder.credentialsProvider(keys)).build();
        }

        public void put(PutObjectRequest request, byte[] body) { s3.putObject(request, RequestBody.fromBytes(body)); }
        public byte[] get(GetObjectRequest request) { return s3.getObjectAsBytes(request).asByteArray(); }
        public HeadObjectResponse head(HeadObjectRequest request) { return s3.headObject(request); }
        public ListObjectsV2Response list(ListObjectsV2Request request) { return s3.listObjectsV2(request); }
        public void create(String bucket) { s3.createBucket(b -> b.bucket(bucket)); }
        public List<Bucket> buckets() { return s3.listBuckets().buckets(); }
        public void copy(CopyObjectRequest request) { s3.copyObject(request); }
        public void tag(PutObjectTaggingRequest request) { s3.putObjectTagging(request); }
        public List<Tag> tags(GetObjectTaggingRequest request) { return s3.getObjectTagging(request).tagSet(); }
        public DeleteObjectsResponse delete(DeleteObjectsRequest request) { return s3.deleteObjects(request); }

        /** In parts, by hand: the blocking client has none of its own; and once as a stream. */
        public void putLarge(PutObjectRequest request, byte[] body) {
            s3.putObject(request, RequestBody.fromInputStream(new ByteArrayInputStream(body), body.length));
            String bucket = request.bucket(), key = request.key();
            String id = s3.createMultipartUpload(b -> b.bucket(bucket).key(key)).uploadId();
            List<CompletedPart> parts = new ArrayList<>();
            for (int at = 0, number = 1; at < body.length; at += 8 << 20, number++) {
                int n = number;
                byte[] piece = Arrays.copyOfRange(body, at, Math.min(body.length, at + (8 << 20)));
                UploadPartResponse done = s3.uploadPart(b -> b.bucket(bucket).key(key).uploadId(id).partNumber(n), RequestBody.fromBytes(piece));
                parts.add(CompletedPart.builder().partNumber(n).eTag(done.eTag()).checksumCRC32(done.checksumCRC32()).build());
            }
            s3.completeMultipartUpload(b -> b.bucket(bucket).key(key).uploadId(id).multipartUpload(m -> m.parts(parts)));
        }
    }

    /** With the defaults; the large body also goes in parts, both ways. Not so an empty one: the README beside. */
    static class Async implements Door {
        final S3AsyncClient s3, parts;

        Async(URI at, StaticCredentialsProvider keys) {
            s3 = make(at, keys, false);
            parts = make(at, keys, true);
        }

        static S3AsyncClient make(URI at, StaticCredentialsProvider keys, boolean parts) {
            var builder = S3AsyncClient.builder().endpointOverride(at).forcePathStyle(true);
            if (parts)
                builder.multipartEnabled(true);
            return (keys == null ? builder : builder.credentialsProvider(keys)).build();
        }

        static <T> T end(CompletableFuture<T> call) {
            try {
                return call.get(60, TimeUnit.SECONDS);
            } catch (ExecutionException e) {
                throw e.getCause() instanceof RuntimeException r ? r : new IllegalStateException(e);
            } catch (InterruptedException | TimeoutException e) {
                throw new IllegalStateException("no end within 60 s", e);
            }
        }

        static byte[] read(S3AsyncClient by, GetObjectRequest request) {
            return end(by.getObject(request, AsyncResponseTransformer.toBytes())).asByteArray();
        }

        public void put(PutObjectRequest request, byte[] body) { end(s3.putObject(request, AsyncRequestBody.fromBytes(body))); }
        public void putLarge(PutObjectRequest request, byte[] body) {
            end(parts.putObject(request, AsyncRequestBody.fromBytes(body)));
            equal(read(parts, GetObjectRequest.builder().bucket(request.bucket()).key(request.key()).build()), body);
        }
        public byte[] get(GetObjectRequest request) { return read(s3, request); }
        public HeadObjectResponse head(HeadObjectRequest request) { return end(s3.headObject(request)); }
        public ListObjectsV2Response list(ListObjectsV2Request request) { return end(s3.listObjectsV2(request)); }
        public void create(String bucket) { end(s3.createBucket(b -> b.bucket(bucket))); }
        public List<Bucket> buckets() { return end(s3.listBuckets()).buckets(); }
        public void copy(CopyObjectRequest request) { end(s3.copyObject(request)); }
        public void tag(PutObjectTaggingRequest request) { end(s3.putObjectTagging(request)); }
        public List<Tag> tags(GetObjectTaggingRequest request) { return end(s3.getObjectTagging(request)).tagSet(); }
        public DeleteObjectsResponse delete(DeleteObjectsRequest request) { return end(s3.deleteObjects(request)); }
    }

    final Door door;
    final String bucket;

    S3Script(Door door, String bucket) {
        this.door = door;
        this.bucket = bucket;
    }

    void put(String key, byte[] body) { door.put(PutObjectRequest.builder().bucket(bucket).key(key).build(), body); }
    void put(String key, String text) { put(key, text.getBytes(StandardCharsets.UTF_8)); }
    byte[] get(String key) { return door.get(GetObjectRequest.builder().bucket(bucket).key(key).build()); }

    static void equal(Object got, Object wanted) {
        if (!Objects.deepEquals(got, wanted))
            throw new AssertionError(got + ", wanted " + wanted);
    }

    List<String> keys(String prefix) {
        List<String> out = new ArrayList<>();
        String token = null;
        do {
            ListObjectsV2Response page = door.list(ListObjectsV2Request.builder().bucket(bucket).prefix(prefix).continuationToken(token).build());
            page.contents().forEach(item -> out.add(item.key()));
            token = page.nextContinuationToken();
        } while (token != null);
        return out;
    }

    Object buckets() {
        door.create(bucket);
        equal(door.buckets().stream().anyMatch(one -> one.name().equals(bucket)), true);
        return null;
    }

    Object small() {
        put("small", SMALL);
        equal(get("small"), SMALL);
        equal(door.head(HeadObjectRequest.builder().bucket(bucket).key("small").build()).contentLength(), (long) SMALL.length);
        put("empty", new byte[0]);
        equal(get("empty"), new byte[0]);
        return null;
    }

    Object large() {
        byte[] body = new byte[20 << 20];
        new Random(7).nextBytes(body);
        door.putLarge(PutObjectRequest.builder().bucket(bucket).key("large").build(), body);
        if (!Arrays.equals(get("large"), body))
            throw new AssertionError("what was read differs");
        return null;
    }

    Object ranges() {
        equal(door.get(GetObjectRequest.builder().bucket(bucket).key("small").range("bytes=8-13").build()), Arrays.copyOfRange(SMALL, 8, 14));
        return null;
    }

    Object oddKeys() {
        for (String key : ODD)
            put("odd/" + key, key);
        for (String key : ODD)
            equal(new String(get("odd/" + key), StandardCharsets.UTF_8), key);
        equal(new TreeSet<>(keys("odd/")), new TreeSet<>(ODD.stream().map(key -> "odd/" + key).toList()));
        return null;
    }

    Object lists() {
        for (int n = 0; n < 25; n++)
            put(String.format("list/%d/%03d", n / 10, n), "1");
        var page = door.list(ListObjectsV2Request.builder().bucket(bucket).prefix("list/").delimiter("/").build());
        equal(page.commonPrefixes().stream().map(CommonPrefix::prefix).toList(), List.of("list/0/", "list/1/", "list/2/"));
        return null;
    }

    Object pages() {
        List<Integer> sizes = new ArrayList<>();
        String token = null;
        do {
            var page = door.list(ListObjectsV2Request.builder().bucket(bucket).prefix("list/").maxKeys(10).continuationToken(token).build());
            sizes.add(page.contents().size());
            token = page.nextContinuationToken();
        } while (token != null);
        equal(sizes, List.of(10, 10, 5));
        return null;
    }

    Object copies() {
        door.copy(CopyObjectRequest.builder().sourceBucket(bucket).sourceKey("small").destinationBucket(bucket).destinationKey("copied/small ü+").build());
        equal(get("copied/small ü+"), SMALL);
        return null;
    }

    Object metadata() {
        var fields = Map.of("colour", "blue", "city", "Koeln 50%");
        door.put(PutObjectRequest.builder().bucket(bucket).key("meta").contentType("text/csv").metadata(fields).build(), SMALL);
        var head = door.head(HeadObjectRequest.builder().bucket(bucket).key("meta").build());
        equal(List.of(head.contentType(), head.metadata()), List.of("text/csv", fields));
        return null;
    }

    Object tags() {
        var set = List.of(Tag.builder().key("owner").value("me + you @ home").build());
        door.tag(PutObjectTaggingRequest.builder().bucket(bucket).key("small").tagging(t -> t.tagSet(set)).build());
        equal(door.tags(GetObjectTaggingRequest.builder().bucket(bucket).key("small").build()), set);
        return null;
    }

    static String code(Runnable call) {
        try {
            call.run();
        } catch (S3Exception e) {
            return e.awsErrorDetails().errorCode();
        }
        return "nothing";
    }

    Object conditional() {
        var once = PutObjectRequest.builder().bucket(bucket).key("once").ifNoneMatch("*").build();
        door.put(once, SMALL);
        equal(code(() -> door.put(once, new byte[] { 1 })), "PreconditionFailed");
        equal(get("once"), SMALL);
        return null;
    }

    Object missing() {
        equal(code(() -> get("nobody/has/this")), "NoSuchKey");
        return null;
    }

    Object deletes() {
        for (String prefix : List.of("list/", "odd/")) {
            var all = keys(prefix).stream().map(key -> ObjectIdentifier.builder().key(key).build()).toList();
            equal(door.delete(DeleteObjectsRequest.builder().bucket(bucket).delete(d -> d.objects(all)).build()).errors().size(), 0);
            equal(keys(prefix), List.of());
        }
        return null;
    }

    static void one(String name, Callable<Object> call) {
        try {
            call.call();
            System.out.println("ok " + name);
        } catch (Throwable e) {
            System.out.println("FAIL " + name + ": " + String.valueOf(e).replace('\n', ' '));
        }
    }

    static Door connect(String kind, String at, StaticCredentialsProvider keys) {
        return kind.equals("async") ? new Async(URI.create(at), keys) : new Blocking(URI.create(at), keys);
    }

    public static void main(String[] words) {
        S3Script script = new S3Script(connect(words[0], words[1], null), words[2]);
        one("buckets", script::buckets);
        one("small", script::small);
        one("large", script::large);
        one("ranges", script::ranges);
        one("odd_keys", script::oddKeys);
        one("lists", script::lists);
        one("pages", script::pages);
        one("copies", script::copies);
        one("metadata", script::metadata);
        one("tags", script::tags);
        one("conditional", script::conditional);
        one("missing", script::missing);
        one("deletes", script::deletes);
        var wrong = StaticCredentialsProvider.create(AwsBasicCredentials.create(System.getenv("AWS_ACCESS_KEY_ID"), "0".repeat(40)));
        S3Script other = new S3Script(connect(words[0], words[1], wrong), words[2]);
        one("wrong_key", () -> {
            equal(code(() -> other.get("small")), "SignatureDoesNotMatch");
            return null;
        });
        System.exit(0);
    }
}
