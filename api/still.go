package api

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"tfw/executor"
)

// stillEvery is how often a request that lasts asks whether its token is still good: it
// bounds how long a revoked one, or rights that were taken away, go on.
const stillEvery = 2 * time.Second

// errRights says that the rights of a request changed while it lasted.
var errRights = fmt.Errorf("%w: the rights of the token changed while the request lasted, or it was revoked or expired: ask again", ErrUnauthenticated)

// still reports an error once the principal of the request may not go on as it began. It looks from time to time only.
func (s *Server) still(r *request, asked *time.Time) error {
	if time.Since(*asked) < stillEvery {
		return nil
	}
	*asked = time.Now()
	now, err := s.cfg.Executor.Still(s.ctx, r.principal)
	switch {
	case errors.Is(err, executor.ErrForbidden):
	case err != nil: // the store is closing: the request will see that by itself
		return nil //nolint:nilerr // said above
	case reflect.DeepEqual(now, r.principal):
		return nil
	}
	s.log.Info("a request is cut off: its rights have changed", "request", r.id, "by", r.principal.Name, "path", r.path)
	return errRights
}
