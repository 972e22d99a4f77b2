package ssh

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"strings"
)

// hashMatches tells whether a hashed known_hosts name |1|SALT|HMAC-SHA1 stands for name.
// SHA-1 is what the format prescribes; it hides names, it does not protect keys.
func hashMatches(hashed, name string) bool {
	part := strings.Split(hashed, "|")
	if len(part) != 4 || part[1] != "1" {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(part[2])
	if err != nil {
		return false
	}
	want, err := base64.StdEncoding.DecodeString(part[3])
	if err != nil {
		return false
	}
	m := hmac.New(sha1.New, salt)
	m.Write([]byte(name))
	return hmac.Equal(m.Sum(nil), want)
}
