package api

import (
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// schemaName names a type in the description, as users of a generated client will read it.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if name == "WireEntry" {
		return "LogEntry"
	}
	if short, ok := strings.CutSuffix(name, "InBody"); ok {
		return short + "Request"
	}
	return strings.TrimSuffix(name, "OutBody")
}

// describeAll makes the description say of every operation what the server does with all of them.
func (s *Server) describeAll() {
	doc := s.api.OpenAPI()
	for path, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op != nil {
				s.describeAnswers(path, op)
			}
		}
	}
}

// describeAnswers tells which problems there are, and the headers of answers. huma believes in a 422, which is a 400 here.
func (s *Server) describeAnswers(path string, op *huma.Operation) {
	delete(op.Responses, strconv.Itoa(http.StatusUnprocessableEntity))
	problem := func(status int) *huma.Response {
		return &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schemaIn[Problem](s)}}}
	}
	if strings.HasPrefix(path, "/v2.1/") || path == "/metrics" && s.cfg.MetricsToken {
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests} {
			if op.Responses[strconv.Itoa(status)] == nil {
				op.Responses[strconv.Itoa(status)] = problem(status)
			}
		}
	} else {
		delete(op.Responses, strconv.Itoa(http.StatusUnauthorized))
		delete(op.Responses, strconv.Itoa(http.StatusForbidden))
		op.Responses[strconv.Itoa(http.StatusBadRequest)] = problem(http.StatusBadRequest)
	}
	for status, answer := range op.Responses {
		headers := map[string]*huma.Param{"X-Request-Id": header("the request's, in the log of the controller too")}
		switch status {
		case "401":
			headers["WWW-Authenticate"] = header("Bearer")
		case "429", "503":
			headers["Retry-After"] = header("seconds")
		}
		maps.Copy(headers, answer.Headers)
		answer.Headers = headers
	}
}

func header(about string) *huma.Param {
	return &huma.Param{Description: about, Schema: &huma.Schema{Type: "string"}}
}
