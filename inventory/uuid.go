package inventory

import (
	"crypto/sha1"
	"fmt"
)

// dnsNamespace is the namespace of domain names, RFC 9562 section 6.6, so that
// `uuidgen --sha1 --namespace @dns --name HOST` gives the same.
var dnsNamespace = [16]byte{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

// uuidOf is the name-based UUID of a host, RFC 9562 section 5.5 (version 5).
func uuidOf(name string) string {
	sum := sha1.Sum(append(dnsNamespace[:], name...))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
