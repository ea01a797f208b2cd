//go:build go1.24

package main

import "net/http"

// HTTP/2 alone, in clear with prior knowledge.
func only2(transport *http.Transport, tls bool) bool {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(tls)
	protocols.SetUnencryptedHTTP2(!tls)
	transport.Protocols = protocols
	return true
}
