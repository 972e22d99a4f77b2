package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
	"tfw/plan"
)

// Plans is what the server asks of an engine of test plans. *plan.Engine is one.
type Plans interface {
	Check(p executor.Principal, s plan.Submission) (*plan.Plan, error)
	Submit(ctx context.Context, p executor.Principal, s plan.Submission) (*plan.TestPlan, error)
	TestPlan(ctx context.Context, p executor.Principal, id string) (*plan.TestPlan, error)
	TestPlans(ctx context.Context, p executor.Principal, name string, oldest bool, limit int, marker string) (all []plan.TestPlan, next string, err error)
	Cancel(ctx context.Context, p executor.Principal, id, reason string) (*plan.TestPlan, error)
	Resume(ctx context.Context, p executor.Principal, id string) (*plan.TestPlan, error)
	Results(ctx context.Context, p executor.Principal, id string, output bool) (*plan.Results, error)
	Compare(ctx context.Context, p executor.Principal, id, with string) (*plan.Comparison, error)
	HistoryOf(ctx context.Context, p executor.Principal, id string, last int) (*plan.History, error)
	Follow(ctx context.Context, p executor.Principal, id string, after uint64, output bool) (*plan.Follower, error)
	Changed(id string) <-chan struct{}
}

var _ Plans = (*plan.Engine)(nil)

func (s *Server) testplanRoutes() {
	if s.cfg.Plans == nil {
		return
	}
	tags := []string{"testplans"}
	route(s, huma.Operation{OperationID: "createTestplan", Method: http.MethodPost, Path: "/v2.1/testplans", Summary: "Run a test plan", Tags: tags, DefaultStatus: http.StatusAccepted,
		Description: "The plan is checked first; every fault is one of `errors`, with FILE:LINE:COLUMN as its location. Answers at once with the test plan as it was stored, " +
			"or when it is done when `wait` is given and long enough. With an `Idempotency-Key` the request may be sent again after any failure.",
		Responses: map[string]*huma.Response{
			"200": jsonResponse[plan.TestPlan](s, "The ended test plan"),
			"202": jsonResponse[plan.TestPlan](s, "The test plan as it stands"),
		}, Errors: []int{409, 507}}, s.createTestplan)
	route(s, huma.Operation{OperationID: "checkTestplan", Method: http.MethodPost, Path: "/v2.1/testplans/check", Summary: "Find every fault of a test plan", Tags: tags,
		Description: "Against the methods and hosts there are. Nothing is run and no host is contacted."}, s.checkTestplan)
	route(s, huma.Operation{OperationID: "listTestplans", Method: http.MethodGet, Path: "/v2.1/testplans", Summary: "Test plans, newest first", Tags: tags}, s.listTestplans)
	route(s, huma.Operation{OperationID: "getTestplan", Method: http.MethodGet, Path: "/v2.1/testplans/{id}", Summary: "One test plan as it stands", Tags: tags,
		Description: "With `wait`, answers when it is done, or as it stands when the time is over. With `wait` and the ETag of an earlier answer as `If-None-Match`, " +
			"answers at the next change, or 304 when there was none in that time: so a test plan is followed without asking in circles.",
		Responses: map[string]*huma.Response{"200": jsonResponse[plan.TestPlan](s, "OK"), "304": {Description: "Not Modified"}}, Errors: []int{404}}, s.getTestplan)
	route(s, huma.Operation{OperationID: "cancelTestplan", Method: http.MethodPost, Path: "/v2.1/testplans/{id}/cancel", Summary: "End a test plan", Tags: tags, DefaultStatus: http.StatusAccepted,
		Description: "Its runs are cancelled, then its `finally` steps run. Answers at once.",
		Responses:   map[string]*huma.Response{"202": jsonResponse[plan.TestPlan](s, "The test plan as it stands")}, Errors: []int{404, 409}}, s.cancelTestplan)
	route(s, huma.Operation{OperationID: "resumeTestplan", Method: http.MethodPost, Path: "/v2.1/testplans/{id}/resume", Summary: "Run again what did not pass", Tags: tags, DefaultStatus: http.StatusAccepted,
		Description: "A new test plan on the same hosts; cells that passed keep their results.",
		Responses:   map[string]*huma.Response{"202": jsonResponse[plan.TestPlan](s, "The new test plan")}, Errors: []int{404, 409, 507}}, s.resumeTestplan)
}

// testplanOut answers with a test plan.
type testplanOut struct {
	Status   int
	Location string `header:"Location" doc:"of the test plan"`
	ETag     string `header:"ETag" doc:"changes with the test plan"`
	Body     any
}

func testplanAnswer(status int, t *plan.TestPlan) *testplanOut {
	t.Steps = list(t.Steps)
	return &testplanOut{Status: status, Location: "/v2.1/testplans/" + t.ID, ETag: tagOf(t), Body: t}
}

// faults words what is wrong with a plan as a problem with one error for each fault.
func faults(err error) error {
	var wrong plan.Problems
	if !errors.As(err, &wrong) {
		return err
	}
	p := newProblem(http.StatusBadRequest, "bad_request", "the plan has a fault")
	if len(wrong) > 1 {
		p.Detail = fmt.Sprintf("the plan has %d faults", len(wrong))
	}
	for _, one := range wrong {
		p.Errors = append(p.Errors, ProblemError{Location: one.Where(), Message: one.Message, Fix: one.Fix})
	}
	return p
}

type createTestplanIn struct {
	Wait wait   `query:"wait"`
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"the same key of the same user never runs twice"`
	Body plan.Submission
}

func (s *Server) createTestplan(ctx context.Context, r *request, in *createTestplanIn) (*testplanOut, error) {
	in.Body.IdempotencyKey = in.Key
	t, err := s.cfg.Plans.Submit(ctx, r.principal, in.Body)
	if err != nil {
		return nil, faults(err)
	}
	if in.Wait.Duration > 0 {
		if t, err = s.awaitTestplan(ctx, r, t, "", in.Wait.Duration); err != nil {
			return nil, err
		}
	}
	if in.Wait.Duration > 0 && t.State == executor.Done {
		return testplanAnswer(http.StatusOK, t), nil
	}
	return testplanAnswer(http.StatusAccepted, t), nil
}

// awaitTestplan gives the test plan when it is done, or differs from what the tag known
// stands for, or as it stands when the time is over, the client is gone or the server is shutting down.
func (s *Server) awaitTestplan(ctx context.Context, r *request, t *plan.TestPlan, known string, d time.Duration) (*plan.TestPlan, error) {
	waiting, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	defer s.watch(r, cancel)()
	for id := t.ID; ; {
		bell := s.cfg.Plans.Changed(id)
		t, err := s.cfg.Plans.TestPlan(ctx, r.principal, id)
		if err != nil || t.State == executor.Done || known != "" && tagOf(t) != known {
			return t, err
		}
		select {
		case <-bell:
		case <-waiting.Done():
			return t, nil
		}
	}
}

type checkTestplanIn struct{ Body plan.Submission }

// PlanSummary is what a plan without faults holds.
type PlanSummary struct {
	Name  string   `json:"name"`
	Steps []string `json:"steps" doc:"in the plan's order, on_failure and finally last"`
}

type checkTestplanOut struct{ Body PlanSummary }

func (s *Server) checkTestplan(_ context.Context, r *request, in *checkTestplanIn) (*checkTestplanOut, error) {
	p, err := s.cfg.Plans.Check(r.principal, in.Body)
	if err != nil {
		return nil, faults(err)
	}
	out := &checkTestplanOut{PlanSummary{Name: p.Name, Steps: []string{}}}
	for _, group := range [][]*plan.Step{p.Steps, p.OnFailure, p.Finally} {
		for _, step := range group {
			out.Body.Steps = append(out.Body.Steps, step.Name)
		}
	}
	return out, nil
}

// TestplanPage is a page of test plans.
type TestplanPage struct {
	Testplans []plan.TestPlan `json:"testplans"`
	Next      string          `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

type listTestplansIn struct {
	Page
	Name string `query:"name" maxLength:"200" doc:"only those of the plan of this name which are no part of another"`
	Sort string `query:"sort" enum:"created,-created" doc:"created: the oldest first; -created, the default: the newest first"`
}

type listTestplansOut struct{ Body TestplanPage }

func (s *Server) listTestplans(ctx context.Context, r *request, in *listTestplansIn) (*listTestplansOut, error) {
	all, next, err := s.cfg.Plans.TestPlans(ctx, r.principal, in.Name, in.Sort == "created", in.Limit, in.Marker)
	for i := range all {
		all[i].Steps = list(all[i].Steps)
	}
	return &listTestplansOut{TestplanPage{Testplans: list(all), Next: next}}, err
}

// TestplanRef names a test plan in a path.
type TestplanRef struct {
	ID string `path:"id" maxLength:"64" doc:"id of the test plan, a unique prefix of it, or last" example:"last"`
}

type getTestplanIn struct {
	TestplanRef
	Wait  wait   `query:"wait"`
	Known string `header:"If-None-Match" doc:"ETag of an earlier answer"`
}

func (s *Server) getTestplan(ctx context.Context, r *request, in *getTestplanIn) (*testplanOut, error) {
	t, err := s.cfg.Plans.TestPlan(ctx, r.principal, in.ID)
	if err == nil && in.Wait.Duration > 0 {
		t, err = s.awaitTestplan(ctx, r, t, in.Known, in.Wait.Duration)
	}
	if err != nil {
		return nil, err
	}
	return testplanAnswer(http.StatusOK, t), nil
}

type cancelTestplanIn struct {
	TestplanRef
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"why, for the record"`
	}
}

func (s *Server) cancelTestplan(ctx context.Context, r *request, in *cancelTestplanIn) (*testplanOut, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	t, err := s.cfg.Plans.Cancel(ctx, r.principal, in.ID, reason)
	if err != nil {
		return nil, err
	}
	return testplanAnswer(http.StatusAccepted, t), nil
}

func (s *Server) resumeTestplan(ctx context.Context, r *request, in *struct{ TestplanRef }) (*testplanOut, error) {
	t, err := s.cfg.Plans.Resume(ctx, r.principal, in.ID)
	if err != nil {
		return nil, faults(err)
	}
	return testplanAnswer(http.StatusAccepted, t), nil
}
