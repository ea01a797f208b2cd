// The script of tests/s3_clients with AWS's SDK for Go: main END-POINT BUCKET. Keys and region are in the environment.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const large = 20 << 20

var (
	ctx    = context.Background()
	door   *s3.Client
	bucket *string
	small  = []byte("bronze, silver, gold\n")
)

func connect() *s3.Client {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		panic(err)
	}
	return s3.NewFromConfig(settings, func(o *s3.Options) {
		o.BaseEndpoint = aws.String(os.Args[1])
		o.UsePathStyle = true
	})
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func equal(got, wanted any) error {
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		return fmt.Errorf("%.200v, wanted %.200v", got, wanted)
	}
	return nil
}

func put(key string, body []byte) error {
	_, err := door.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: bytes.NewReader(body)})
	return err
}

func get(client *s3.Client, key string, span *string) ([]byte, error) {
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key, Range: span})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func is(key string, wanted []byte) error {
	got, err := get(door, key, nil)
	if err == nil && !bytes.Equal(got, wanted) {
		err = fmt.Errorf("%s has %d bytes, not the %d that were put", key, len(got), len(wanted))
	}
	return err
}

func keys(prefix string) ([]string, error) {
	var out []string
	pages := s3.NewListObjectsV2Paginator(door, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Contents {
			out = append(out, *item.Key)
		}
	}
	return out, nil
}

func buckets() error {
	if _, err := door.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		return err
	}
	out, err := door.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil {
		return err
	}
	for _, one := range out.Buckets {
		if *one.Name == *bucket {
			return nil
		}
	}
	return errors.New("the bucket is not listed")
}

func smallOnes() error {
	for key, body := range map[string][]byte{"small": small, "empty": {}} {
		if err := errors.Join(put(key, body), is(key, body)); err != nil {
			return err
		}
	}
	head, err := door.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("small")})
	if err != nil {
		return err
	}
	return equal(*head.ContentLength, len(small))
}

func stream() error {
	// What cannot be sought is signed as a stream.
	manager := transfermanager.New(door)
	_, err := manager.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: bucket, Key: aws.String("stream"),
		Body: io.MultiReader(bytes.NewReader(small))})
	if err != nil {
		return err
	}
	return is("stream", small)
}

type hole struct{ bytes []byte }

func (h *hole) WriteAt(p []byte, off int64) (int, error) { return copy(h.bytes[off:], p), nil }

func inParts() error {
	body := make([]byte, large)
	rand.New(rand.NewSource(7)).Read(body)
	manager := transfermanager.New(door)
	_, err := manager.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: bucket, Key: aws.String("large"), Body: bytes.NewReader(body)})
	if err != nil {
		return err
	}
	got := &hole{make([]byte, large)}
	if _, err = manager.DownloadObject(ctx, &transfermanager.DownloadObjectInput{Bucket: bucket, Key: aws.String("large"), WriterAt: got}); err != nil {
		return err
	}
	return equal(sha256.Sum256(got.bytes), sha256.Sum256(body))
}

func ranges() error {
	got, err := get(door, "small", aws.String("bytes=8-13"))
	return errors.Join(err, equal(string(got), string(small[8:14])))
}

func oddKeys() error {
	wanted := []string{"odd/a b", "odd/ü ß/日本", "odd/p+q", "odd/a//b", "odd/100%25 & ?x=1;y#z", "odd/dots.. and ~*'()!"}
	for _, key := range wanted {
		if err := errors.Join(put(key, []byte(key)), is(key, []byte(key))); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	got, err := keys("odd/")
	sort.Strings(wanted)
	return errors.Join(err, equal(got, wanted))
}

func lists() error {
	for n := 0; n < 25; n++ {
		if err := put(fmt.Sprintf("list/%d/%03d", n/10, n), []byte("1")); err != nil {
			return err
		}
	}
	out, err := door.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("list/"), Delimiter: aws.String("/")})
	if err != nil {
		return err
	}
	var folders []string
	for _, one := range out.CommonPrefixes {
		folders = append(folders, *one.Prefix)
	}
	return equal(folders, []string{"list/0/", "list/1/", "list/2/"})
}

func pages() error {
	var sizes []int
	pages := s3.NewListObjectsV2Paginator(door, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("list/"), MaxKeys: aws.Int32(10)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		sizes = append(sizes, len(page.Contents))
	}
	return equal(sizes, []int{10, 10, 5})
}

func copies() error {
	_, err := door.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copied/small ü+"), CopySource: aws.String(*bucket + "/small")})
	if err != nil {
		return err
	}
	return is("copied/small ü+", small)
}

func metadata() error {
	wanted := map[string]string{"colour": "blue", "city": "Koeln 50%"}
	_, err := door.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("meta"), Body: bytes.NewReader(small),
		ContentType: aws.String("text/csv"), Metadata: wanted})
	if err != nil {
		return err
	}
	head, err := door.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("meta")})
	if err != nil {
		return err
	}
	return errors.Join(equal(*head.ContentType, "text/csv"), equal(head.Metadata, wanted))
}

func tags() error {
	set := []types.Tag{{Key: aws.String("owner"), Value: aws.String("me + you @ home")}}
	_, err := door.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: bucket, Key: aws.String("small"), Tagging: &types.Tagging{TagSet: set}})
	if err != nil {
		return err
	}
	out, err := door.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: bucket, Key: aws.String("small")})
	if err != nil {
		return err
	}
	return errors.Join(equal(len(out.TagSet), 1), equal(*out.TagSet[0].Value, "me + you @ home"))
}

func conditional() error {
	once := func(body string) error {
		_, err := door.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("once"), Body: strings.NewReader(body), IfNoneMatch: aws.String("*")})
		return err
	}
	if err := once("first"); err != nil {
		return err
	}
	return errors.Join(equal(code(once("second")), "PreconditionFailed"), is("once", []byte("first")))
}

func missing() error {
	_, err := get(door, "nobody/has/this", nil)
	return equal(code(err), "NoSuchKey")
}

func wrongKey() error {
	os.Setenv("AWS_SECRET_ACCESS_KEY", strings.Repeat("0", 40))
	_, err := get(connect(), "small", nil)
	return equal(code(err), "SignatureDoesNotMatch")
}

func deletes() error {
	for _, prefix := range []string{"list/", "odd/"} {
		names, err := keys(prefix)
		if err != nil {
			return err
		}
		var set []types.ObjectIdentifier
		for _, name := range names {
			set = append(set, types.ObjectIdentifier{Key: aws.String(name)})
		}
		out, err := door.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: set}})
		if err != nil {
			return err
		}
		left, err := keys(prefix)
		if err = errors.Join(err, equal(len(out.Errors), 0), equal(len(left), 0)); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	bucket, door = &os.Args[2], connect()
	for _, one := range []struct {
		name string
		call func() error
	}{{"buckets", buckets}, {"small", smallOnes}, {"stream", stream}, {"large", inParts}, {"ranges", ranges}, {"odd_keys", oddKeys},
		{"lists", lists}, {"pages", pages}, {"copies", copies}, {"metadata", metadata}, {"tags", tags}, {"conditional", conditional},
		{"missing", missing}, {"deletes", deletes}, {"wrong_key", wrongKey}} {
		if err := one.call(); err != nil {
			fmt.Printf("FAIL %s: %s\n", one.name, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Printf("ok %s\n", one.name)
		}
	}
}
