package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
)

// QueuePage is a page of those who wait.
type QueuePage struct {
	Queue []executor.Waiting `json:"queue"`
	Next  string             `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

func (s *Server) queueRoutes() {
	type queueOut struct{ Body QueuePage }
	queueOrder := order[executor.Waiting]{
		"since":    func(a, b executor.Waiting) int { return a.Since.Compare(b.Since) },
		"host":     by(func(w executor.Waiting) string { return w.Host }),
		"by":       by(func(w executor.Waiting) string { return w.By }),
		"priority": by(func(w executor.Waiting) int { return w.Priority }),
	}
	route(s, sortable(huma.Operation{OperationID: "listQueue", Method: http.MethodGet, Path: "/v2.1/queue", Summary: "Runs and leases that wait for hosts, in the order of their turn, and why", Tags: []string{"leases"}}, queueOrder),
		func(ctx context.Context, r *request, in *struct {
			Sort
			Page
		}) (*queueOut, error) {
			all, err := s.cfg.Executor.Queue(ctx, r.principal)
			if err != nil {
				return nil, err
			}
			some, next, err := sortedPage(all, queueOrder, in.Sort, in.Page, func(w executor.Waiting) string { return string(w.Run) + w.Lease + "@" + w.Host })
			return &queueOut{QueuePage{Queue: list(some), Next: next}}, err
		})
}

// Queue lists the runs and leases that wait for hosts, in the order of their turn.
func (c *Client) Queue(ctx context.Context) ([]executor.Waiting, error) {
	q := url.Values{}
	return pages(func(marker string) ([]executor.Waiting, string, error) {
		set(q, "marker", marker)
		var page QueuePage
		err := c.get(ctx, "/v2.1/queue", q, &page)
		return page.Queue, page.Next, err
	})
}
