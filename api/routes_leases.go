package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
)

// Leases is what the server asks of an executor about who has which hosts.
type Leases interface {
	Lease(ctx context.Context, p executor.Principal, req executor.LeaseRequest) (executor.Lease, error)
	Leases(ctx context.Context, p executor.Principal) ([]executor.Lease, error)
	FindLease(ctx context.Context, p executor.Principal, id string) (executor.Lease, error)
	WaitLease(ctx context.Context, p executor.Principal, id string) (executor.Lease, error)
	Renew(ctx context.Context, p executor.Principal, id string, d executor.Duration) error
	Release(ctx context.Context, p executor.Principal, id, reason string) error
	Queue(ctx context.Context, p executor.Principal) ([]executor.Waiting, error)
}

// LeaseRef names a lease in a path.
type LeaseRef struct {
	ID string `path:"id" maxLength:"64" doc:"id of the lease"`
}

type leaseOut struct {
	Status   int
	Location string `header:"Location" doc:"of the lease"`
	Body     executor.Lease
}

func leaseAnswer(l executor.Lease) *leaseOut {
	l.Hosts = list(l.Hosts)
	return &leaseOut{Status: http.StatusOK, Location: "/v2.1/leases/" + l.ID, Body: l}
}

func (s *Server) leaseRoutes() {
	s.queueRoutes()
	tags := []string{"leases"}
	type pageOut struct{ Body LeasePage }
	leaseOrder := order[executor.Lease]{
		"created": func(a, b executor.Lease) int { return a.Created.Compare(b.Created) },
		"expires": func(a, b executor.Lease) int { return a.Expires.Compare(b.Expires) },
		"state":   by(func(l executor.Lease) string { return string(l.State) }),
	}
	route(s, sortable(huma.Operation{OperationID: "listLeases", Method: http.MethodGet, Path: "/v2.1/leases", Summary: "Leases that wait or are held, oldest first", Tags: tags}, leaseOrder),
		func(ctx context.Context, r *request, in *struct {
			Sort
			Page
		}) (*pageOut, error) {
			all, err := s.cfg.Executor.Leases(ctx, r.principal)
			if err != nil {
				return nil, err
			}
			some, next, err := sortedPage(all, leaseOrder, in.Sort, in.Page, func(l executor.Lease) string { return l.ID })
			return &pageOut{LeasePage{Leases: some, Next: next}}, err
		})
	route(s, huma.Operation{OperationID: "createLease", Method: http.MethodPost, Path: "/v2.1/leases", Summary: "Reserve hosts, all or none", Tags: tags, DefaultStatus: http.StatusCreated,
		Description: "Answers 201 with the lease when it is held. With `wait` in the body it may queue: then 202 with the waiting lease; ask for it with `?wait=` to learn when it is held. Without, 409 names who has the hosts.",
		Responses:   map[string]*huma.Response{"201": jsonResponse[executor.Lease](s, "It is held"), "202": jsonResponse[executor.Lease](s, "It waits")}, Errors: []int{409, 507}},
		func(ctx context.Context, r *request, in *struct{ Body executor.LeaseRequest }) (*leaseOut, error) {
			l, err := s.cfg.Executor.Lease(ctx, r.principal, in.Body)
			if err != nil {
				return nil, err
			}
			out := leaseAnswer(l)
			if out.Status = http.StatusCreated; l.State == executor.LeaseWaiting {
				out.Status = http.StatusAccepted
			}
			return out, nil
		})
	route(s, huma.Operation{OperationID: "getLease", Method: http.MethodGet, Path: "/v2.1/leases/{id}", Summary: "One lease, ended ones too", Tags: tags,
		Description: "With `wait`, answers when a waiting lease of one's own is held or ended, or as it stands when the time is over.", Errors: []int{404}}, s.getLease)
	route(s, huma.Operation{OperationID: "renewLease", Method: http.MethodPost, Path: "/v2.1/leases/{id}/renew", Summary: "Make a held lease end later, or sooner", Tags: tags, Errors: []int{404, 409}},
		func(ctx context.Context, r *request, in *struct {
			LeaseRef
			Body struct {
				For executor.Duration `json:"for" doc:"how long from now"`
			}
		}) (*leaseOut, error) {
			if err := s.cfg.Executor.Renew(ctx, r.principal, in.ID, in.Body.For); err != nil {
				return nil, err
			}
			l, err := s.cfg.Executor.FindLease(ctx, r.principal, in.ID)
			return leaseAnswer(l), err
		})
	route(s, huma.Operation{OperationID: "releaseLease", Method: http.MethodDelete, Path: "/v2.1/leases/{id}", Summary: "Give hosts back, or break another's lease", Tags: tags,
		Description: "Breaking the lease of another is for admins and needs a reason, which its holder is shown.", Errors: []int{404, 409}},
		func(ctx context.Context, r *request, in *struct {
			LeaseRef
			Reason string `query:"reason" maxLength:"500" doc:"why another's lease is broken"`
		}) (*struct{}, error) {
			return nil, s.cfg.Executor.Release(ctx, r.principal, in.ID, in.Reason)
		})
}

type getLeaseIn struct {
	LeaseRef
	Wait wait `query:"wait"`
}

func (s *Server) getLease(ctx context.Context, r *request, in *getLeaseIn) (*leaseOut, error) {
	if in.Wait.Duration > 0 {
		waiting, cancel := context.WithTimeout(ctx, in.Wait.Duration)
		defer cancel()
		stop := s.watch(r, cancel)
		_, err := s.cfg.Executor.WaitLease(waiting, r.principal, in.ID)
		stop()
		if err != nil && waiting.Err() == nil && !errors.Is(err, executor.ErrLeased) && !errors.Is(err, executor.ErrNotFound) {
			return nil, err
		}
	}
	l, err := s.cfg.Executor.FindLease(ctx, r.principal, in.ID)
	if err != nil {
		return nil, err
	}
	return leaseAnswer(l), nil
}

// Audit is what the server asks of an executor about the record of who did what.
type Audit interface {
	Audit(ctx context.Context, p executor.Principal, f executor.AuditFilter) (entries []executor.AuditEntry, more bool, err error)
	VerifyAudit(ctx context.Context, p executor.Principal) (entries uint64, head string, err error)
	Refused(ctx context.Context, p executor.Principal, what, why string)
}

type auditIn struct {
	Who     string `query:"who" doc:"only by this user or token name"`
	Action  string `query:"action" doc:"only this action: run, cancel, lease, token.create ..."`
	Host    string `query:"host" doc:"only on this host"`
	Object  string `query:"object" doc:"only about this run, lease or token"`
	Outcome string `query:"outcome" doc:"only with this outcome, such as refused"`
	Request string `query:"request" doc:"only of the request with this id"`
	Since   since  `query:"since"`
	Until   since  `query:"until"`
	After   uint64 `query:"after" doc:"only entries with a greater seq"`
	Sort    string `query:"sort" enum:"time,-time" doc:"time, the default: the oldest first; -time: the newest first"`
	Limit   int    `query:"limit" minimum:"0" maximum:"10000" doc:"at most so many; 0 is 100"`
	Marker  string `query:"marker" pattern:"^[0-9]{0,20}$" doc:"next of the page before"`
}

// filter is what the executor is asked for: a marker is the seq of the last entry of the page before.
func (in *auditIn) filter() (executor.AuditFilter, error) {
	f := executor.AuditFilter{Who: in.Who, Action: in.Action, Host: in.Host, Object: in.Object, Outcome: in.Outcome, Request: in.Request,
		Since: in.Since.Time, Until: in.Until.Time, After: in.After, Newest: in.Sort == "-time", Limit: in.Limit}
	if in.Marker == "" {
		return f, nil
	}
	seq, err := strconv.ParseUint(in.Marker, 10, 64)
	switch {
	case err != nil || seq == 0:
		return f, badField("query.marker", "no page begins there: use the next of the page before")
	case f.Newest:
		f.Before = seq
	default:
		f.After = max(f.After, seq)
	}
	return f, nil
}

func (s *Server) auditRoutes() {
	tags := []string{"audit"}
	type auditOut struct{ Body AuditPage }
	route(s, huma.Operation{OperationID: "listAudit", Method: http.MethodGet, Path: "/v2.1/audit", Summary: "Who did what, when, from where", Tags: tags,
		Description: "Oldest first, unless `sort` is `-time`. Page with `marker` as long as `next` is there. For admins."},
		func(ctx context.Context, r *request, in *auditIn) (*auditOut, error) {
			f, err := in.filter()
			if err != nil {
				return nil, err
			}
			all, more, err := s.cfg.Executor.Audit(ctx, r.principal, f)
			if err != nil {
				return nil, err
			}
			out := &auditOut{AuditPage{Entries: list(all)}}
			if more {
				out.Body.Next = strconv.FormatUint(all[len(all)-1].Seq, 10)
			}
			return out, nil
		})
	type verifyOut struct{ Body AuditProof }
	route(s, huma.Operation{OperationID: "verifyAudit", Method: http.MethodGet, Path: "/v2.1/audit/verify", Summary: "Whether the record is whole", Tags: tags,
		Description: "Walks the whole chain of hashes. For admins over all groups."},
		func(ctx context.Context, r *request, _ *struct{}) (*verifyOut, error) {
			n, head, err := s.cfg.Executor.VerifyAudit(ctx, r.principal)
			out := &verifyOut{AuditProof{Whole: err == nil, Entries: n, Head: head, At: time.Now().UTC()}}
			if errors.Is(err, executor.ErrCorrupt) {
				out.Body.Problem, err = err.Error(), nil
			}
			return out, err
		})
}

// refused puts on record what a known principal was not allowed, or was told does not exist.
func (s *Server) refused(r *request, method string, status int) {
	if r.principal.Name == "" || status != http.StatusForbidden && status != http.StatusNotFound {
		return
	}
	s.cfg.Executor.Refused(r.ctx, r.principal, method+" "+r.path, http.StatusText(status))
}
