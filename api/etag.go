package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

// notModified gives the answer to a GET an entity tag and sends 304 in the
// place of what the client has already (RFC 9110, 13.1.2), so that who asks again and again is
// sent only what is new. Streams have a tag only where their handler set one.
func notModified(c *fiber.Ctx) {
	resp := c.Response()
	reads := c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead
	if !reads || resp.StatusCode() != http.StatusOK {
		return
	}
	tag := string(resp.Header.Peek(fiber.HeaderETag))
	if tag == "" {
		if resp.IsBodyStream() || !strings.HasPrefix(c.Path(), "/v2.1/") {
			return
		}
		tag = `"` + hashOf(resp.Body()) + `"`
		c.Set(fiber.HeaderETag, tag)
	}
	if !knows(c.Get(fiber.HeaderIfNoneMatch), tag) {
		return
	}
	resp.ResetBody()
	resp.Header.Del(fiber.HeaderContentType)
	resp.Header.SetNoDefaultContentType(true)
	c.Status(http.StatusNotModified)
}

// knows reports whether an If-None-Match holds the tag, weak or strong.
func knows(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// tagOf is an entity tag of a value.
func tagOf(v any) string {
	var b bytes.Buffer
	encode(&b, v)
	return `"` + hashOf(b.Bytes()) + `"`
}

func hashOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:12])
}

// describeTag puts into the description what notModified does.
func describeTag(op *huma.Operation) {
	known := func(p *huma.Param) bool { return p.Name == fiber.HeaderIfNoneMatch }
	if !slices.ContainsFunc(op.Parameters, known) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: fiber.HeaderIfNoneMatch, In: "header", Description: "ETag of an earlier answer", Schema: &huma.Schema{Type: "string"}})
	}
	if ok := op.Responses["200"]; ok != nil {
		if ok.Headers == nil {
			ok.Headers = map[string]*huma.Header{}
		}
		ok.Headers[fiber.HeaderETag] = &huma.Header{Description: "of this answer, for If-None-Match", Schema: &huma.Schema{Type: "string"}}
	}
	op.Responses["304"] = &huma.Response{Description: "Not Modified: the answer is the one with that ETag"}
}
