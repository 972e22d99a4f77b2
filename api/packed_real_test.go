package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"tfw/api"
	"tfw/executor"
)

// get asks over TCP, as curl does: nothing is decoded.
func (c *controller) get(t *testing.T, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", c.token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}, Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// A raw log in the coding zstd holds the same bytes, whatever part of it is asked for: by our
// decoder, by the zstd program and by curl where there are such.
func TestRawLogAsItLies(t *testing.T) {
	c, err := startController(1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// Short plain pieces, long ones that compress, and some that do not.
	run, err := c.client.Submit(ctx, shell("all", `echo begin; sleep 0.2; printf x; sleep 0.2; seq 60000; seq -f 'case %g of the suite boot passed in 0.213 s' 9000; sleep 0.2; head -c 200000 /dev/urandom; sleep 0.2; seq -f 'case %g of the suite boot passed in 0.213 s' 6000 >&2; echo end`))
	if err != nil {
		t.Fatal(err)
	}
	var followed bytes.Buffer
	if _, err := c.client.RawLog(ctx, string(run.ID), api.LogOptions{Follow: true}, &followed); err != nil {
		t.Fatal(err)
	}
	path := "/v2.1/runs/" + string(run.ID) + "/log?format=raw"
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	_, whole := c.get(t, path)
	if !bytes.Equal(whole, followed.Bytes()) || !bytes.HasPrefix(whole, []byte("begin\nx1\n2\n")) || !bytes.HasSuffix(whole, []byte("end\n")) {
		t.Fatalf("%d bytes, followed %d", len(whole), followed.Len())
	}
	queries := []string{"", "&stream=stderr", "&tail=1", "&tail=3", "&limit=2", "&limit=5", "&after=3", "&follow=1", "&after=999999", "&cmd=7",
		fmt.Sprintf("&skip=%d", len(whole)), fmt.Sprintf("&skip=%d", len(whole)-1), fmt.Sprintf("&skip=%d", len(whole)+5)}
	for range 25 {
		queries = append(queries, fmt.Sprintf("&skip=%d", rand.IntN(len(whole))))
	}
	for _, query := range queries {
		plain, want := c.get(t, path+query)
		packed, got := c.get(t, path+query, "Accept-Encoding", "gzip, zstd")
		if plain.Header.Get("Content-Encoding") != "" || packed.Header.Get("Content-Encoding") != "zstd" || !strings.Contains(packed.Header.Get("Vary"), "Accept-Encoding") {
			t.Fatalf("%s: codings %v and %v", query, plain.Header, packed.Header)
		}
		decoded, err := dec.DecodeAll(got, nil)
		if err != nil || !bytes.Equal(decoded, want) || len(got) == 0 {
			t.Errorf("%s: %v: %d bytes, want %d", query, err, len(decoded), len(want))
		}
		if program, err := exec.LookPath("zstd"); err == nil {
			cmd := exec.Command(program, "-dc")
			cmd.Stdin = bytes.NewReader(got)
			if out, err := cmd.Output(); err != nil || !bytes.Equal(out, want) {
				t.Errorf("%s: zstd -dc: %v: %d bytes, want %d", query, err, len(out), len(want))
			}
		}
		var shown bytes.Buffer
		if skipped := strings.Contains(query, "skip") || strings.Contains(query, "cmd"); !skipped {
			continue
		}
		if program, err := exec.LookPath("curl"); err == nil {
			cmd := exec.Command(program, "-sSf", "--compressed", "-H", "X-Auth-Token: "+c.token, c.url+path+query)
			cmd.Stderr = &shown
			if out, err := cmd.Output(); err != nil || !bytes.Equal(out, want) {
				t.Errorf("%s: curl --compressed: %v %s: %d bytes, want %d", query, err, &shown, len(out), len(want))
			}
		}
	}
	_, packed := c.get(t, path+"&stream=stderr", "Accept-Encoding", "zstd")
	_, plain := c.get(t, path+"&stream=stderr")
	if len(packed) > len(plain)*2/3 {
		t.Errorf("%d bytes in the place of %d: that is not how they lie", len(packed), len(plain))
	}
	for _, accept := range []string{"", "gzip", "zstd;q=0", "*", "identity"} {
		if resp, _ := c.get(t, path+"&limit=1", "Accept-Encoding", accept); resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("Accept-Encoding %q: sent as %s", accept, resp.Header.Get("Content-Encoding"))
		}
	}
	if resp, _ := c.get(t, "/v2.1/runs/"+string(run.ID)+"/log", "Accept-Encoding", "zstd"); resp.Header.Get("Content-Encoding") != "" {
		t.Error("entries are sent in a coding")
	}
}

// What a command says arrives as it says it, compressed too.
func TestPackedFollowersAreUpToDate(t *testing.T) {
	c, err := startController(1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	run, err := c.client.Submit(ctx, shell("all", "echo first; seq 2000; sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := c.client.RawLog(ctx, string(run.ID), api.LogOptions{Follow: true}, w)
		w.Close()
		done <- err
	}()
	buf := make([]byte, 6+8893)
	if _, err := io.ReadFull(r, buf); err != nil || !bytes.HasPrefix(buf, []byte("first\n1\n")) || !bytes.HasSuffix(buf, []byte("\n2000\n")) {
		t.Errorf("%v: %.20q", err, buf)
	}
	if now, err := c.client.Run(ctx, string(run.ID)); err != nil || now.State != executor.Running {
		t.Errorf("it came only at the end: %+v %v", now, err)
	}
	if _, err := c.client.Cancel(ctx, string(run.ID), ""); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, r)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
