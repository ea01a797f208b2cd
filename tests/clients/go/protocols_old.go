//go:build !go1.24

package main

import "net/http"

// Before 1.24 net/http speaks HTTP/2 over TLS only.
func only2(transport *http.Transport, tls bool) bool {
	transport.ForceAttemptHTTP2 = true
	return tls
}
