// The script of exchanges (../script.py) spelled for net/http: main URL CA-FILE 1|2. Prints `ok NAME`, `FAIL NAME: TEXT`
// or `skip NAME: TEXT` for each.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const large = 16 << 20

var (
	base   string
	http2  bool
	client *http.Client
)

func pattern(from, length int) []byte {
	out := make([]byte, length)
	for i := range out {
		out[i] = byte((from + i) % 251)
	}
	return out
}

type answer struct {
	*http.Response
	body []byte
}

func (a answer) into(to any) error { return json.Unmarshal(a.body, to) }

func take(response *http.Response, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && http2 != (response.ProtoMajor == 2) {
		err = errors.New(response.Proto)
	}
	return answer{response, body}, err
}

func request(method, target string, body io.Reader) *http.Request {
	r, err := http.NewRequest(method, base+"/", body)
	if err != nil {
		panic(err)
	}
	path, query, _ := strings.Cut(target, "?")
	r.URL = &url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Opaque: "//" + r.URL.Host + path, RawQuery: query}
	return r
}

func ask(method, target string, body []byte, fields ...string) (answer, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	r := request(method, target, reader)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return take(client.Do(r))
}

func status(a answer, err error, wanted int) error {
	if err != nil {
		return err
	}
	if a.StatusCode != wanted {
		return fmt.Errorf("status %d, wanted %d", a.StatusCode, wanted)
	}
	return nil
}

func fixed() error {
	a, err := ask("GET", "/fixed", nil)
	return status(a, err, 200)
}

func client_of() (string, error) {
	var told struct{ Client string }
	a, err := ask("GET", "/headers", nil)
	if err == nil {
		err = a.into(&told)
	}
	return told.Client, err
}

type sunk struct {
	Bytes  int
	Sha256 string
}

func sink(a answer, err error, body []byte) error {
	var got sunk
	sum := sha256.Sum256(body)
	if err = status(a, err, 200); err == nil {
		err = a.into(&got)
	}
	if err == nil && (got.Bytes != len(body) || got.Sha256 != hex.EncodeToString(sum[:])) {
		err = fmt.Errorf("%v of %d bytes", got, len(body))
	}
	return err
}

// A body whose length is not told and whose bytes are counted.
type counted struct {
	io.Reader
	sent int
}

func (c *counted) Read(to []byte) (int, error) {
	n, err := c.Reader.Read(to)
	c.sent += n
	return n, err
}

// A body that ends its request in the middle.
type breaking struct {
	left   int
	cancel func()
}

func (b *breaking) Read(to []byte) (int, error) {
	n := min(b.left, len(to))
	b.left -= n
	if n == 0 {
		b.cancel()
		return 0, errors.New("goes away")
	}
	return n, nil
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func expect(method, target string, length int) (answer, int, error) {
	body := &counted{Reader: bytes.NewReader(make([]byte, length))}
	r := request(method, target, body)
	r.ContentLength = int64(length)
	r.Header.Set("Expect", "100-continue")
	a, err := take(client.Do(r))
	return a, body.sent, err
}

func at_once(targets []string, width int) error {
	room, failures := make(chan bool, width), make(chan error, len(targets))
	var all sync.WaitGroup
	for _, target := range targets {
		all.Add(1)
		room <- true
		go func(target string) {
			a, err := ask("GET", target, nil)
			failures <- status(a, err, 200)
			<-room
			all.Done()
		}(target)
	}
	all.Wait()
	for range targets {
		if err := <-failures; err != nil {
			return err
		}
	}
	return nil
}

func repeated(target string, count int) (out []string) {
	for i := 0; i < count; i++ {
		out = append(out, target)
	}
	return
}

type exchange struct {
	name string
	run  func() error
}

var exchanges = []exchange{
	{"small", fixed},
	{"head", func() error {
		a, err := ask("HEAD", "/fixed", nil)
		if err = status(a, err, 200); err == nil && (a.ContentLength < 100 || len(a.body) > 0) {
			err = fmt.Errorf("length %d, %d bytes", a.ContentLength, len(a.body))
		}
		return err
	}},
	{"large_download", func() error {
		a, err := ask("GET", fmt.Sprint("/bytes/", large), nil)
		if err = status(a, err, 200); err == nil && !bytes.Equal(a.body, pattern(0, large)) {
			err = errors.New("other bytes")
		}
		return err
	}},
	{"download_without_length", func() error {
		a, err := ask("GET", "/bytes/1000000?length=no", nil)
		if err = status(a, err, 200); err == nil && (a.ContentLength != -1 || !bytes.Equal(a.body, pattern(0, 1000000))) {
			err = fmt.Errorf("length %d", a.ContentLength)
		}
		return err
	}},
	{"large_upload", func() error {
		body := pattern(0, large)
		a, err := ask("PUT", "/sink", body)
		return sink(a, err, body)
	}},
	{"upload_without_length", func() error {
		body := pattern(0, 5000000)
		a, err := take(client.Do(request("POST", "/sink", &counted{Reader: bytes.NewReader(body)})))
		return sink(a, err, body)
	}},
	{"echoed", func() error {
		body := pattern(7, 300000)
		a, err := ask("POST", "/echo", body)
		if err = status(a, err, 200); err == nil && !bytes.Equal(a.body, body) {
			err = fmt.Errorf("%d other bytes", len(a.body))
		}
		return err
	}},
	{"parts", func() error {
		a, err := ask("GET", "/bytes/1000000", nil, "Range", "bytes=1000-1999")
		if err = status(a, err, 206); err == nil && !bytes.Equal(a.body, pattern(1000, 1000)) {
			err = errors.New("other bytes")
		}
		if err == nil {
			a, err = ask("GET", "/file", nil, "Range", "bytes=-5")
			err = status(a, err, 206)
		}
		if err == nil {
			a, err = ask("GET", "/bytes/1000", nil, "Range", "bytes=1000-")
			err = status(a, err, 416)
		}
		return err
	}},
	{"no_content_and_not_modified", func() error {
		for _, code := range []int{204, 304} {
			a, err := ask("GET", fmt.Sprint("/status/", code), nil)
			if err = status(a, err, code); err != nil {
				return err
			}
		}
		return fixed()
	}},
	{"error_documents", func() error {
		for _, row := range []struct {
			method, target string
			status         int
		}{{"GET", "/nothing", 404}, {"DELETE", "/fixed", 405}, {"POST", "/early", 403}} {
			var body []byte
			if row.method == "POST" {
				body = []byte("x")
			}
			a, err := ask(row.method, row.target, body)
			if err = status(a, err, row.status); err != nil {
				return err
			}
			if kind := a.Header.Get("Content-Type"); kind != "application/problem+json" {
				return errors.New(kind)
			}
		}
		return nil
	}},
	{"continue_accepted", func() error {
		a, sent, err := expect("PUT", "/sink", 200000)
		if err = status(a, err, 200); err == nil && sent != 200000 {
			err = fmt.Errorf("%d bytes were sent", sent)
		}
		return err
	}},
	{"continue_refused", func() error {
		a, sent, err := expect("POST", "/early", 2000000)
		if err = status(a, err, 403); err == nil && sent != 0 {
			err = fmt.Errorf("%d bytes were sent", sent)
		}
		return err
	}},
	{"trailers_received", func() error {
		a, err := ask("GET", "/trailers", nil)
		if err = status(a, err, 200); err == nil && a.Trailer.Get("X-Check") != "whole" {
			err = fmt.Errorf("%v", a.Trailer)
		}
		return err
	}},
	{"trailers_sent", func() error {
		r := request("POST", "/trailers", &counted{Reader: strings.NewReader("hello")})
		r.Trailer = http.Header{"X-Sum": {"12"}}
		a, err := take(client.Do(r))
		if err = status(a, err, 200); err == nil && !strings.Contains(strings.ToLower(string(a.body)), `["x-sum","12"]`) {
			err = errors.New(string(a.body))
		}
		return err
	}},
	{"abort_of_a_download", func() error {
		response, err := client.Do(request("GET", fmt.Sprint("/bytes/", large), nil))
		if err != nil {
			return err
		}
		_, err = io.ReadFull(response.Body, make([]byte, 100000))
		response.Body.Close()
		if err != nil {
			return err
		}
		return fixed()
	}},
	{"abort_of_an_upload", func() error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r := request("PUT", "/sink", &breaking{left: 1000, cancel: cancel}).WithContext(ctx)
		r.ContentLength = 1 << 20
		if _, err := take(client.Do(r)); err == nil {
			return errors.New("the upload went through")
		}
		return fixed()
	}},
	{"slow_reader", func() error {
		response, err := client.Do(request("GET", "/bytes/3000000", nil))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		piece, got := make([]byte, 300000), []byte{}
		for err == nil {
			var n int
			n, err = io.ReadFull(response.Body, piece)
			got = append(got, piece[:n]...)
			time.Sleep(10 * time.Millisecond)
		}
		if !bytes.Equal(got, pattern(0, 3000000)) {
			return fmt.Errorf("%d bytes, %v", len(got), err)
		}
		return nil
	}},
	{"a_reply_that_breaks_off", func() error {
		if _, err := ask("GET", "/bytes/4000000?length=no&cut=1000000", nil); err == nil {
			return errors.New("it was taken for the whole")
		}
		return nil
	}},
	{"a_connection_is_used_again", func() error {
		first, err := client_of()
		for i := 0; i < 50 && err == nil; i++ {
			var next string
			if next, err = client_of(); err == nil && next != first {
				err = errors.New("another connection")
			}
		}
		return err
	}},
	{"the_server_closes", func() error {
		if http2 {
			return errSkip
		}
		var told struct{ Client string }
		r := request("GET", "/headers", nil)
		r.Close = true
		a, err := take(client.Do(r))
		if err == nil {
			err = a.into(&told)
		}
		if next, _ := client_of(); err == nil && (!a.Close || next == told.Client) {
			err = errors.New("the connection was kept")
		}
		return err
	}},
	{"a_large_header", func() error {
		value := strings.Repeat("!abcdefghijklmn~", 1000)
		a, err := ask("GET", "/headers", nil, "X-Large", value)
		if err = status(a, err, 200); err == nil && !bytes.Contains(a.body, []byte(value)) {
			err = errors.New("it is not told")
		}
		return err
	}},
	{"odd_bytes_of_a_path", func() error {
		for _, row := range []struct {
			target string
			status int
		}{{"/status/20%30", 200}, {"/status%2F200", 404}, {"/status/./200", 404}, {"/status/../fixed", 404}} {
			a, err := ask("GET", row.target, nil)
			if err = status(a, err, row.status); err != nil {
				return fmt.Errorf("%s: %w", row.target, err)
			}
		}
		return nil
	}},
	{"compressed_reply", func() error {
		a, err := ask("GET", "/headers", nil, "X-Filler", strings.Repeat("filler ", 300)+"end")
		if err = status(a, err, 200); err == nil && !a.Uncompressed {
			err = errors.New("it came as it is")
		}
		return err
	}},
	{"a_thousand_requests", func() error { return at_once(repeated("/fixed", 1000), 32) }},
	{"a_thousand_streams", func() error {
		if !http2 {
			return errSkip
		}
		return at_once(repeated("/bytes/10000", 1000), 1000)
	}},
	{"sixty_four_at_once", func() error { return at_once(repeated("/sleep/100", 64), 64) }},
}

var errSkip = errors.New("skip")

func main() {
	base, http2 = os.Args[1], os.Args[3] == "2"
	authority, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ExpectContinueTimeout: 20 * time.Second,
		MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	} else if !only2(transport, strings.HasPrefix(base, "https")) {
		fmt.Println("skip all: this Go has no HTTP/2 in clear")
		return
	}
	client = &http.Client{Transport: transport, Timeout: 60 * time.Second}
	for _, e := range exchanges {
		switch err := e.run(); err {
		case nil:
			fmt.Println("ok", e.name)
		case errSkip:
			fmt.Printf("skip %s: it is of another version of HTTP\n", e.name)
		default:
			fmt.Printf("FAIL %s: %s\n", e.name, strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
}
