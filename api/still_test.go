package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"tfw/api"
	"tfw/executor"
)

// cutWithin bounds how long a revoked token may go on; the server looks every two seconds.
const cutWithin = 10 * time.Second

// TestRevokedTokenIsCutOff: what a token was let in for ends when the token does, whoever follows or waits with it.
func TestRevokedTokenIsCutOff(t *testing.T) {
	l := newTeams(t)
	stays := l.run("red1", "stay")
	expires := time.Now().Add(3 * time.Second)
	for _, c := range []struct {
		name, path string
		end        func(id string) error
		token      executor.Token
	}{
		{"revoked, log", "/v2.1/runs/" + stays + "/log?follow=1", l.revoke, executor.Token{}},
		{"revoked, events", "/v2.1/runs/" + stays + "/log?format=sse&follow=1", l.revoke, executor.Token{}},
		{"revoked, waiting", "/v2.1/runs/" + stays + "?wait=60s", l.revoke, executor.Token{}},
		{"expired, log", "/v2.1/runs/" + stays + "/log?follow=1", func(string) error { return nil }, executor.Token{Expires: expires}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.token.Name, c.token.Role = "victor", executor.Viewer
			text, made, err := l.exec.CreateToken(t.Context(), root, c.token)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), cutWithin+10*time.Second)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", l.url+c.path, nil)
			req.Header.Set("X-Auth-Token", text)
			answered := make(chan int, 1)
			go func() {
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					answered <- 0
					return
				}
				defer resp.Body.Close()
				_, _ = io.Copy(io.Discard, resp.Body)
				answered <- resp.StatusCode
			}()
			select {
			case status := <-answered:
				t.Fatalf("ended before the token did: %d", status)
			case <-time.After(time.Second):
			}
			if err := c.end(made.ID); err != nil {
				t.Fatal(err)
			}
			select {
			case status := <-answered:
				if c.name == "revoked, waiting" && status != http.StatusUnauthorized {
					t.Errorf("status %d", status)
				}
			case <-time.After(cutWithin):
				t.Error("goes on with a token that is over")
			}
		})
	}
}

func (l *teams) revoke(id string) error {
	return l.exec.RevokeToken(context.Background(), root, id)
}

// A client that follows learns why it was cut off, in the place of trying for ever.
func TestFollowerLearnsOfTheRevocation(t *testing.T) {
	l := newTeams(t)
	stays := l.run("red1", "stay")
	text, made, err := l.exec.CreateToken(t.Context(), root, executor.Token{Name: "victor", Role: executor.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(l.url, api.WithToken(text), api.WithPatience(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	told := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, err := client.Wait(ctx, stays)
		told <- err
	}()
	time.Sleep(300 * time.Millisecond)
	if err := l.revoke(made.ID); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, api.ErrUnauthenticated) {
		t.Errorf("%v", err)
	}
}
