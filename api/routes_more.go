package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
	"tfw/plugins"
)

// catalogueRoutes tell what can be run.
func (s *Server) catalogueRoutes() {
	tags := []string{"catalogue"}
	type listOut struct{ Body PluginPage }
	pluginOrder := order[string]{"name": cmp.Compare[string]}
	route(s, sortable(huma.Operation{OperationID: "listPlugins", Method: http.MethodGet, Path: "/v2.1/plugins", Summary: "The catalogue: plugins and their methods", Tags: tags}, pluginOrder),
		func(_ context.Context, _ *request, in *struct {
			Sort
			Page
		}) (*listOut, error) {
			names, next, err := sortedPage(s.cfg.Plugins.Names(), pluginOrder, in.Sort, in.Page, func(n string) string { return n })
			if err != nil {
				return nil, err
			}
			body := PluginPage{Plugins: []Plugin{}, Next: next}
			for _, name := range names {
				p, err := s.plugin(name)
				if err != nil {
					return nil, err
				}
				body.Plugins = append(body.Plugins, p)
			}
			return &listOut{body}, nil
		})
	type oneOut struct{ Body Plugin }
	route(s, huma.Operation{OperationID: "getPlugin", Method: http.MethodGet, Path: "/v2.1/plugins/{name}", Summary: "One plugin and its methods", Tags: tags, Errors: []int{404}},
		func(_ context.Context, _ *request, in *struct {
			Name string `path:"name" maxLength:"100"`
		}) (*oneOut, error) {
			p, err := s.plugin(in.Name)
			return &oneOut{p}, err
		})
}

// plugin describes a plugin. Asked for by its path, an unknown one is not found, rather than a bad request.
func (s *Server) plugin(name string) (Plugin, error) {
	p, err := s.cfg.Plugins.Plugin(name)
	if errors.Is(err, plugins.ErrUnknown) {
		return Plugin{}, newProblem(http.StatusNotFound, "not_found", err.Error())
	} else if err != nil {
		return Plugin{}, err
	}
	return pluginOf(p)
}

func (s *Server) tokenRoutes() {
	tags := []string{"tokens"}
	type listOut struct{ Body TokenPage }
	tokenOrder := order[executor.Token]{
		"name":    by(func(t executor.Token) string { return t.Name }),
		"created": func(a, b executor.Token) int { return a.Created.Compare(b.Created) },
		"expires": func(a, b executor.Token) int { return a.Expires.Compare(b.Expires) },
	}
	route(s, sortable(huma.Operation{OperationID: "listTokens", Method: http.MethodGet, Path: "/v2.1/tokens", Summary: "Tokens, never their text", Tags: tags}, tokenOrder),
		func(ctx context.Context, r *request, in *struct {
			Sort
			Page
		}) (*listOut, error) {
			all, err := s.cfg.Executor.Tokens(ctx, r.principal)
			if err != nil {
				return nil, err
			}
			some, next, err := sortedPage(all, tokenOrder, in.Sort, in.Page, func(t executor.Token) string { return t.ID })
			return &listOut{TokenPage{Tokens: some, Next: next}}, err
		})
	type madeOut struct{ Body NewToken }
	route(s, huma.Operation{OperationID: "createToken", Method: http.MethodPost, Path: "/v2.1/tokens", Summary: "Make a token", Tags: tags, DefaultStatus: http.StatusCreated,
		Description: "The answer is the only time that its text is seen."},
		func(ctx context.Context, r *request, in *struct{ Body TokenRequest }) (*madeOut, error) {
			t := executor.Token{Name: in.Body.Name, Role: in.Body.Role, Groups: in.Body.Groups}
			if in.Body.Expires > 0 {
				t.Expires = time.Now().Add(time.Duration(in.Body.Expires))
			}
			text, made, err := s.cfg.Executor.CreateToken(ctx, r.principal, t)
			return &madeOut{NewToken{Token: made, Text: text}}, err
		})
	route(s, huma.Operation{OperationID: "revokeToken", Method: http.MethodDelete, Path: "/v2.1/tokens/{id}", Summary: "End a token for good", Tags: tags, Errors: []int{404}},
		func(ctx context.Context, r *request, in *struct {
			ID string `path:"id" maxLength:"100"`
		}) (*struct{}, error) {
			return nil, s.cfg.Executor.RevokeToken(ctx, r.principal, in.ID)
		})
}

func (s *Server) artifactRoutes() {
	tags := []string{"artifacts"}
	binary := map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}
	route(s, huma.Operation{OperationID: "putArtifact", Method: http.MethodPost, Path: "/v2.1/artifacts", Summary: "Store content under its SHA-256", Tags: tags, DefaultStatus: http.StatusCreated,
		Description: "The body is the content itself. What is there already is stored once.",
		RequestBody: &huma.RequestBody{Required: true, Content: binary}, Errors: []int{507}}, s.putArtifact)
	route(s, huma.Operation{OperationID: "getArtifact", Method: http.MethodGet, Path: "/v2.1/artifacts/{sha256}", Summary: "Stored content", Tags: tags,
		Responses: map[string]*huma.Response{"200": {Description: "The content", Content: binary}}, Errors: []int{404}}, s.getArtifact)
}

type getArtifactIn struct {
	SHA256 string `path:"sha256" pattern:"^[0-9a-f]{64}$" doc:"hex"`
	Skip   int64  `query:"skip" minimum:"0" doc:"leave out so many bytes at the beginning, to resume"`
}

func (s *Server) getArtifact(ctx context.Context, r *request, in *getArtifactIn) (*struct{ Body func(huma.Context) }, error) {
	content, size, err := s.cfg.Executor.OpenArtifact(ctx, r.principal, in.SHA256)
	if err != nil {
		return nil, err
	}
	if in.Skip > size {
		return nil, errors.Join(badField("query.skip", "the content has %d bytes", size), content.Close())
	}
	if in.Skip > 0 {
		if err := passOver(content, in.Skip); err != nil {
			return nil, errors.Join(fmt.Errorf("artifact %s: %w", in.SHA256, err), content.Close())
		}
	}
	return &struct{ Body func(huma.Context) }{func(hc huma.Context) {
		c := hc.(*humaContext).c
		c.Set("ETag", `"`+in.SHA256+`"`)
		c.Set("Content-Type", "application/octet-stream")
		c.Context().SetBodyStream(&download{ReadCloser: content, s: s, r: r, asked: time.Now()}, int(size-in.Skip))
	}}, nil
}

// passOver goes on in the content, by seeking where it is a file.
func passOver(content io.Reader, n int64) error {
	if f, ok := content.(io.Seeker); ok {
		_, err := f.Seek(n, io.SeekCurrent)
		return err
	}
	_, err := io.CopyN(io.Discard, content, n)
	return err
}

type putArtifactOut struct{ Body Artifact }

func (s *Server) putArtifact(ctx context.Context, r *request, _ *struct{}) (*putArtifactOut, error) {
	if r.body == nil {
		return nil, badField("body", "is empty: send the content itself")
	}
	sum, size, err := s.cfg.Executor.PutArtifact(ctx, r.principal, &upload{s: s, r: r, left: s.cfg.ArtifactLimit, asked: time.Now()})
	if err != nil {
		return nil, err
	}
	return &putArtifactOut{Artifact{SHA256: sum, Size: size}}, nil
}

// upload reads a body of any length up to a bound. As long as bytes arrive it may take its time.
type upload struct {
	s     *Server
	r     *request
	left  int64
	asked time.Time
}

func (u *upload) Read(p []byte) (int, error) {
	if err := u.s.still(u.r, &u.asked); err != nil {
		return 0, err
	}
	if u.r.conn != nil {
		u.r.conn.SetReadDeadline(time.Now().Add(u.s.cfg.ReadTimeout))
	}
	n, err := u.r.body.Read(p)
	if u.left -= int64(n); u.left < 0 {
		return 0, tooLarge(u.s.cfg.ArtifactLimit)
	}
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		err = ofStatus(http.StatusRequestTimeout, "")
	} else if err != nil && !errors.Is(err, io.EOF) {
		err = newProblem(http.StatusBadRequest, "bad_request", fmt.Sprintf("the body broke off: %v", err))
	}
	return n, err
}

// download renews the write deadline with every piece: fasthttp sets it once.
type download struct {
	io.ReadCloser
	s     *Server
	r     *request
	asked time.Time
}

func (d *download) Read(p []byte) (int, error) {
	if err := d.s.still(d.r, &d.asked); err != nil {
		return 0, err
	}
	if d.r.conn != nil {
		d.r.conn.SetWriteDeadline(time.Now().Add(d.s.cfg.WriteTimeout))
	}
	return d.ReadCloser.Read(p)
}
