package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
	"tfw/inventory"
)

// huma words the errors that it finds itself through package variables; nothing
// else in the program uses it.
func init() {
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError { return humaProblem(status, msg, errs) }
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		p := humaProblem(status, msg, errs)
		if r, ok := ctx.Context().Value(requestKey{}).(*request); ok {
			p.Request = r.id
		}
		p.Instance = ctx.URL().Path
		return p
	}
}

// humaProblem turns what huma found into a problem, without the values it found.
func humaProblem(status int, msg string, errs []error) *Problem {
	switch {
	case status == http.StatusUnprocessableEntity:
		status, msg = http.StatusBadRequest, "the request is not valid"
	case msg == "cannot read request body": // the client broke off: no fault of ours
		status, msg = http.StatusBadRequest, "the body ended too early"
	case msg == "validation failed":
		msg = "the request is not valid"
	}
	p := newProblem(status, codeOf(status), msg)
	for _, err := range errs {
		if p.Status == http.StatusUnsupportedMediaType {
			p.Detail = "the body must be JSON: send it with \"Content-Type: application/json\""
			break
		}
		fault := ProblemError{Message: err.Error()}
		if d, ok := err.(huma.ErrorDetailer); ok {
			fault.Message, fault.Location = d.ErrorDetail().Message, d.ErrorDetail().Location
		}
		if fault.Message == "unexpected property" {
			fault.Message = "unknown field"
		}
		if !slices.Contains(p.Errors, fault) {
			p.Errors = append(p.Errors, fault)
		}
	}
	return p
}

// codeOf is the code of a problem that has no error of the executor behind it.
func codeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "bad_request"
	case http.StatusRequestTimeout:
		return "timeout"
	case http.StatusRequestEntityTooLarge:
		return "too_large"
	case http.StatusUnsupportedMediaType:
		return "unsupported_media_type"
	case http.StatusNotAcceptable:
		return "not_acceptable"
	case http.StatusInternalServerError:
		return "internal"
	}
	return ""
}

func apiConfig(version string) huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	for t, alias := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[executor.Duration]():  reflect.TypeFor[durationSchema](),
		reflect.TypeFor[executor.State]():     reflect.TypeFor[stateSchema](),
		reflect.TypeFor[executor.Verdict]():   reflect.TypeFor[verdictSchema](),
		reflect.TypeFor[executor.Stream]():    reflect.TypeFor[streamSchema](),
		reflect.TypeFor[executor.Role]():      reflect.TypeFor[roleSchema](),
		reflect.TypeFor[inventory.State]():    reflect.TypeFor[hostStateSchema](),
		reflect.TypeFor[*executor.Duration](): reflect.TypeFor[durationSchema](),
	} {
		schemas.RegisterTypeAlias(t, alias)
	}
	if version == "" {
		version = "devel"
	}
	bearer := map[string][]string{"bearer": {}}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "tfw", Version: version, Description: "Runs methods of plugins on the hosts of a test lab. " +
				"Every error is a problem document (RFC 9457). Lists come in pages: pass `next` of one as `marker` of the next. " +
				"Every answer has an `X-Request-Id`; send one to choose it."},
			Servers:  []*huma.Server{{URL: "/", Description: "the controller that this was read from"}},
			Security: []map[string][]string{bearer, {"token": {}}, {}},
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer", Description: "a token of `tfwctl token create`"},
					"token":  {Type: "apiKey", In: "header", Name: "X-Auth-Token"},
				},
			},
			Tags: []*huma.Tag{
				{Name: "runs", Description: "one method on one target"}, {Name: "hosts", Description: "who there is"}, {Name: "hostkeys", Description: "how hosts are known"},
				{Name: "catalogue", Description: "what can be run"}, {Name: "slaves", Description: "the calls that came first"},
				{Name: "testplans", Description: "many runs in the order that a plan gives them"}, {Name: "leases", Description: "who has which hosts"},
				{Name: "tokens", Description: "who may come in"}, {Name: "secrets", Description: "what runs and the inventory name and nobody reads"}, {Name: "audit", Description: "who did what"},
				{Name: "artifacts", Description: "files by the hash of their content"}, {Name: "controller", Description: "the controller itself"},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": strictJSON, "json": strictJSON},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
}

// The schemas of the executor's types that are texts of a certain form.
type (
	durationSchema  string
	stateSchema     string
	verdictSchema   string
	streamSchema    string
	roleSchema      string
	hostStateSchema string
)

// Schema says: a text such as "90s" or seconds.
func (durationSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "Go's notation, such as 90s or 2h30m, or a number of seconds",
		AnyOf: []*huma.Schema{
			{Type: "string", Examples: []any{"90s"}}, {Type: "number", Minimum: new(float64)},
		},
	}
}

// Schema lists the states of a run.
func (stateSchema) Schema(huma.Registry) *huma.Schema { return enum("queued", "running", "done") }

// Schema lists the verdicts; "" is none yet.
func (verdictSchema) Schema(huma.Registry) *huma.Schema {
	return enum("", "passed", "failed", "errored", "cancelled", "skipped", "timed_out")
}

// Schema lists the streams.
func (streamSchema) Schema(huma.Registry) *huma.Schema { return enum("stdout", "stderr", "event") }

// Schema lists the roles.
func (roleSchema) Schema(huma.Registry) *huma.Schema { return enum("viewer", "operator", "admin") }

// Schema lists the states of a host.
func (hostStateSchema) Schema(huma.Registry) *huma.Schema {
	return enum("active", "maintenance", "quarantined", "retired")
}

func enum(words ...string) *huma.Schema {
	s := &huma.Schema{Type: "string"}
	for _, w := range words {
		s.Enum = append(s.Enum, w)
	}
	return s
}

// route registers an operation. Errors of its handler go through the one table.
func route[I, O any](s *Server, op huma.Operation, handler func(ctx context.Context, r *request, in *I) (*O, error)) {
	op.MaxBodyBytes = s.cfg.BodyLimit + 1
	op.BodyReadTimeout = s.cfg.ReadTimeout
	op.Errors = append([]int{400, 401, 403, 500, 503}, op.Errors...)
	if op.Method == http.MethodPost || op.Method == http.MethodPatch || op.Method == http.MethodPut {
		op.Errors = append(op.Errors, 408, 413, 415)
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		r := requestIn(ctx)
		out, err := handler(ctx, r, in)
		if r.over.Load() {
			err = errRights
		}
		if err == nil {
			return out, nil
		}
		p := s.explain(err, r.id)
		p.Request, p.Instance = r.id, r.path
		headers := http.Header{}
		for k, v := range headersOf(p) {
			headers.Set(k, v)
		}
		return nil, huma.ErrorWithHeaders(p, headers)
	})
	if op.Method == http.MethodGet && strings.HasPrefix(op.Path, "/v2.1/") && !strings.HasSuffix(op.Path, "/log") {
		describeTag(s.api.OpenAPI().Paths[op.Path].Get)
	}
}

// jsonResponse documents an answer that huma cannot see: one of an operation with several.
func jsonResponse[T any](s *Server, description string) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/json": {Schema: schemaIn[T](s)}}}
}

// eitherResponse is jsonResponse for one of two types.
func eitherResponse[T, U any](s *Server, description string) *huma.Response {
	either := &huma.Schema{AnyOf: []*huma.Schema{schemaIn[T](s), schemaIn[U](s)}}
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/json": {Schema: either}}}
}

func schemaIn[T any](s *Server) *huma.Schema {
	t := reflect.TypeFor[T]()
	return s.api.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}
