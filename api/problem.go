package api

import (
	"errors"
	"net/http"
	"strings"

	"tfw/executor"
	"tfw/plugins"
)

// Errors that only the door knows, for errors.Is. Those of the executor come
// through unchanged.
var (
	ErrUnauthenticated = refusal{"no valid token", executor.ErrForbidden} // is executor.ErrForbidden too
	ErrTooLarge        = errors.New("too large")
	ErrTooMany         = errors.New("too many requests")
	ErrElsewhere       = errors.New("another service does not answer")  // such as the OpenID provider
	ErrInternal        = errors.New("internal error of the controller") // its log has the cause
)

// refusal is a sentinel that is a special case of another one.
type refusal struct {
	text string
	is   error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.is }

// A Problem is an error of the API as it travels (RFC 9457, media type
// application/problem+json). It unwraps to the sentinel its Code stands for.
type Problem struct {
	Type     string         `json:"type" doc:"always about:blank: the code tells problems apart" example:"about:blank"`
	Title    string         `json:"title" doc:"the status in words" example:"Bad Request"`
	Status   int            `json:"status" doc:"the HTTP status" example:"400"`
	Detail   string         `json:"detail,omitempty" doc:"what is wrong, where, and what to do next"`
	Instance string         `json:"instance,omitempty" doc:"the path that was asked"`
	Code     string         `json:"code,omitempty" doc:"machine word for the problem" example:"bad_request"`
	Errors   []ProblemError `json:"errors,omitempty" doc:"one for each fault found in the request"`
	Request  string         `json:"request_id,omitempty" doc:"the request's id, as in X-Request-Id and in the controller's log"`
}

// ProblemError is one fault of a request. It never holds the value: that may be a secret.
type ProblemError struct {
	Location string `json:"location,omitempty" doc:"path of the faulty thing" example:"body.parameters.command"`
	Message  string `json:"message"`
	Fix      string `json:"fix,omitempty" doc:"what to do about it"`
}

// Error is the detail and every single fault, for a person.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = strings.ToLower(p.Title)
	}
	var faults []string
	for _, e := range p.Errors {
		fault := e.Message
		if e.Location != "" {
			fault = e.Location + ": " + fault
		}
		if !strings.Contains(text, strings.TrimPrefix(fault, "body.")) {
			faults = append(faults, fault)
		}
	}
	if len(faults) > 0 {
		text += ": " + strings.Join(faults, "; ")
	}
	return text
}

// Unwrap gives the sentinel of the problem's code, nil when it has none.
func (p *Problem) Unwrap() error {
	for _, row := range errorTable {
		if row.code == p.Code {
			return row.err
		}
	}
	return nil
}

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is the media type of the problem for a negotiated one.
func (p *Problem) ContentType(negotiated string) string {
	if negotiated == "application/json" {
		return "application/problem+json"
	}
	return negotiated
}

// errorTable maps errors to codes and statuses on the way out, and codes to
// errors on the way in. The first row that matches counts: special cases come first.
var errorTable = []struct {
	err    error
	code   string
	status int
}{
	{ErrUnauthenticated, "unauthenticated", http.StatusUnauthorized},
	{executor.ErrForbidden, "forbidden", http.StatusForbidden},
	{executor.ErrLeased, "leased", http.StatusConflict},
	{executor.ErrReplayedKey, "idempotency_key_reused", http.StatusConflict},
	{executor.ErrSealed, "secrets_sealed", http.StatusConflict},
	{executor.ErrConflict, "conflict", http.StatusConflict},
	{executor.ErrDraining, "draining", http.StatusServiceUnavailable},
	{executor.ErrClosed, "closed", http.StatusServiceUnavailable},
	{executor.ErrDiskFull, "disk_full", http.StatusInsufficientStorage},
	{ErrTooLarge, "too_large", http.StatusRequestEntityTooLarge},
	{ErrTooMany, "too_many_requests", http.StatusTooManyRequests},
	{executor.ErrTooMany, "too_many", http.StatusTooManyRequests},
	{plugins.ErrUnknown, "unknown_method", http.StatusBadRequest},
	{executor.ErrBadRequest, "bad_request", http.StatusBadRequest},
	{executor.ErrNotFound, "not_found", http.StatusNotFound},
	{ErrElsewhere, "elsewhere", http.StatusBadGateway},
	{ErrInternal, "internal", http.StatusInternalServerError},
}

// problemOf turns an error of the executor into a problem. ok is false for an
// error that is not in the table: its text is for the log, not for the user.
func problemOf(err error) (p *Problem, ok bool) {
	if errors.As(err, &p) {
		return p, true
	}
	for _, row := range errorTable {
		if errors.Is(err, row.err) {
			p = newProblem(row.status, row.code, err.Error())
			p.Errors = parameterErrors(err, nil)
			if errors.Is(err, executor.ErrBadMarker) {
				p.Errors = append(p.Errors, ProblemError{Location: "query.marker", Message: "no page begins there"})
			}
			return p, true
		}
	}
	return newProblem(http.StatusInternalServerError, "internal", ""), false
}

func newProblem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// parameterErrors gathers what the plugins' schemas found, from anywhere in a tree of errors.
func parameterErrors(err error, found []ProblemError) []ProblemError {
	switch e := err.(type) {
	case nil:
	case plugins.ParameterError:
		found = append(found, ProblemError{Location: "body." + e.Location, Message: e.Message})
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			found = parameterErrors(one, found)
		}
	case interface{ Unwrap() error }:
		found = parameterErrors(e.Unwrap(), found)
	}
	return found
}
