package api

import (
	"embed"
	"sync"

	"github.com/gofiber/fiber/v2"

	"github.com/danielgtaylor/huma/v2"
)

// The page reads /openapi.json and asks nothing of any other site.
//
//go:embed docs
var docFiles embed.FS

// docRoutes serve the API's description and a page that shows it.
func (s *Server) docRoutes() {
	document := func(kind string, make func(*huma.OpenAPI) ([]byte, error)) fiber.Handler {
		once := sync.OnceValues(func() ([]byte, error) { return make(s.api.OpenAPI()) })
		return func(c *fiber.Ctx) error {
			raw, err := once()
			if err != nil {
				return err
			}
			c.Set("ETag", `"`+hashOf(raw)+`"`)
			c.Set(fiber.HeaderContentType, kind)
			return c.Send(raw)
		}
	}
	s.app.Get("/openapi.json", document("application/openapi+json", (*huma.OpenAPI).MarshalJSON))
	s.app.Get("/openapi.yaml", document("application/openapi+yaml", (*huma.OpenAPI).YAML))
	for path, file := range map[string]struct{ name, kind string }{
		"/docs":          {"docs/index.html", "text/html; charset=utf-8"},
		"/docs/page.js":  {"docs/page.js", "text/javascript; charset=utf-8"},
		"/docs/page.css": {"docs/page.css", "text/css; charset=utf-8"},
	} {
		content, err := docFiles.ReadFile(file.name)
		if err != nil {
			panic("api: " + err.Error()) // embedded: a mistake in the source
		}
		s.app.Get(path, func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderContentType, file.kind)
			c.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
			c.Set("X-Content-Type-Options", "nosniff")
			c.Set(fiber.HeaderCacheControl, "no-cache")
			return c.Send(content)
		})
	}
}
