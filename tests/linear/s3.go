package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"
)

// S3 is one client: a connection of its own, nothing is retried.
type S3 struct {
	host, access, secret string
	client               *http.Client
}

// errUnknown: no answer came, the request may have happened.
var errUnknown = errors.New("unknown")

type reply struct {
	status     int
	code, etag string
	body       []byte
}

func newS3(host, access, secret string) *S3 {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	return &S3{host, access, secret, &http.Client{Transport: transport, Timeout: 20 * time.Second}}
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (s *S3) sign(request *http.Request, query string) {
	now := time.Now().UTC().Format("20060102T150405Z")
	scope := now[:8] + "/us-east-1/s3/aws4_request"
	request.Header.Set("X-Amz-Date", now)
	request.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	names := []string{"host"}
	for name := range request.Header {
		names = append(names, strings.ToLower(name))
	}
	sort.Strings(names)
	canonical := request.Method + "\n" + request.URL.EscapedPath() + "\n" + query + "\n"
	for _, name := range names {
		value := request.Header.Get(name)
		if name == "host" {
			value = s.host
		}
		canonical += name + ":" + value + "\n"
	}
	canonical += "\n" + strings.Join(names, ";") + "\nUNSIGNED-PAYLOAD"
	digest := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + s.secret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	signature := mac(key, "AWS4-HMAC-SHA256\n"+now+"\n"+scope+"\n"+hex.EncodeToString(digest[:]))
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		s.access, scope, strings.Join(names, ";"), signature))
}

// ask: answers of 5xx are unknown too.
func (s *S3) ask(method, path string, query url.Values, body []byte, headers map[string]string) (reply, error) {
	text := query.Encode()
	address := "http://" + s.host + path
	if text != "" {
		address += "?" + text
	}
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	s.sign(request, text)
	// A request without a body of its own to rewind is never sent twice.
	request.GetBody = nil
	answer, err := s.client.Do(request)
	if err != nil {
		return reply{}, errUnknown
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 500 {
		return reply{}, errUnknown
	}
	out := reply{status: answer.StatusCode, etag: strings.Trim(answer.Header.Get("ETag"), `"`), body: got}
	if out.status >= 300 {
		var problem struct{ Code string }
		_ = xml.Unmarshal(got, &problem)
		out.code = problem.Code
	}
	return out, nil
}

func etagOf(body []byte) string {
	sum := md5.Sum(body)
	return hex.EncodeToString(sum[:])
}

// list gives key -> etag of all keys with the prefix, in pages of `size`.
func (s *S3) list(bucket, prefix string, size int) (map[string]string, error) {
	out, token := map[string]string{}, ""
	for {
		query := url.Values{"list-type": {"2"}, "prefix": {prefix}, "max-keys": {fmt.Sprint(size)}}
		if token != "" {
			query.Set("continuation-token", token)
		}
		got, err := s.ask("GET", "/"+bucket, query, nil, nil)
		if err != nil {
			return nil, err
		}
		if got.status != 200 {
			return nil, fmt.Errorf("list: %d %s", got.status, got.code)
		}
		var page struct {
			IsTruncated           bool
			NextContinuationToken string
			Contents              []struct{ Key, ETag string }
		}
		if err := xml.Unmarshal(got.body, &page); err != nil {
			return nil, err
		}
		for _, row := range page.Contents {
			out[row.Key] = strings.Trim(row.ETag, `"`)
		}
		if !page.IsTruncated {
			return out, nil
		}
		token = page.NextContinuationToken
	}
}
