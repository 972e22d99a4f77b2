package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tfw/plugins"
)

var _ plugins.Rekeyer = (*remote)(nil)

// rekeyEvery is how often a host that was re-imaged is asked for its keys.
const rekeyEvery = 2 * time.Second

// NewHostKey waits until the host shows another key than those on file, and puts that in
// their place: the host was installed anew, inside the run's own hold of it. Who had the
// file changed, and to which key, is on record. What counts as another is decided against what was on
// file when the operation began, so a restart in between does not wait for a third key.
func (r *remote) NewHostKey(ctx context.Context, ask plugins.NewKey) (plugins.KeyChange, error) {
	op, ordinal, err := r.step("host key", ask)
	if err != nil {
		return plugins.KeyChange{}, err
	}
	if !op.Ended {
		change, err := r.rekey(ctx, op, ordinal, ask)
		switch {
		case ctx.Err() != nil && errors.Is(context.Cause(ctx), errDrain):
			r.broken = errDrain
			return plugins.KeyChange{}, errDrain
		case err != nil && ctx.Err() != nil:
			op.Failure = failure(asStop(context.Cause(ctx)))
		case err != nil:
			op.Failure = failure(err)
		default:
			op.Keys = &change
		}
		r.close(op, ordinal)
	}
	if op.Failure != nil {
		return plugins.KeyChange{}, r.failed(op)
	}
	return *op.Keys, nil
}

func (r *remote) rekey(ctx context.Context, op *opRecord, ordinal int, ask plugins.NewKey) (plugins.KeyChange, error) {
	keeper, ok := r.e.cfg.Transport.(HostKeys)
	if !ok {
		return plugins.KeyChange{}, errors.New("this controller keeps no host keys")
	}
	if !r.a.method.Needs.Exclusive {
		return plugins.KeyChange{}, fmt.Errorf("%w: only a method that is alone on its host may change the host's key (mark it plugins.Exclusive)", ErrForbidden)
	}
	r.release()
	if op.Begun.IsZero() {
		pinned, err := keeper.PinnedKeys(r.p.host, r.a.via)
		if err != nil {
			return plugins.KeyChange{}, err
		}
		op.Keys = &plugins.KeyChange{Was: prints(pinned)}
		if err := r.intend(op, ordinal); err != nil {
			return plugins.KeyChange{}, err
		}
	}
	change := plugins.KeyChange{Was: op.Keys.Was}
	limit, stop := context.WithTimeout(ctx, ask.Wait)
	defer stop()
	fresh, err := r.shown(limit, keeper, change.Was, ask.Fingerprint)
	if err != nil || len(fresh) == 0 {
		return change, err
	}
	if _, _, err := keeper.PinKeys(r.p.host, r.a.via, fresh, true); err != nil {
		return change, err
	}
	change.Now, change.Changed = prints(fresh), true
	r.event(fmt.Sprintf("host key changed: it is %s, was %s", strings.Join(change.Now, " "), strings.Join(change.Was, " ")))
	r.e.recordAudit(ctx, Principal{Name: r.a.run.By, Source: "run " + string(r.a.run.ID), Request: r.a.run.RequestID}, AuditEntry{
		Action: "hostkeys.replace", Object: r.p.host.Name, Hosts: []string{r.p.host.Name}, Outcome: "trusted",
		Detail: fmt.Sprintf("re-imaged in run %s: %s in the place of %s", r.a.run.ID, strings.Join(change.Now, " "), strings.Join(change.Was, " ")),
	})
	return change, nil
}

// shown asks until the host shows keys that were not on file; none when it goes on showing the old ones.
func (r *remote) shown(ctx context.Context, keeper HostKeys, was []string, wanted string) ([]HostKey, error) {
	for {
		keys, err := keeper.ScanKeys(ctx, r.p.host, r.a.via)
		fresh := slices.DeleteFunc(slices.Clone(keys), func(k HostKey) bool {
			return slices.Contains(was, k.Fingerprint) || wanted != "" && k.Fingerprint != wanted
		})
		// One old key among them says that the old system still answers, or was only given more keys.
		old := slices.ContainsFunc(keys, func(k HostKey) bool { return slices.Contains(was, k.Fingerprint) })
		if err == nil && len(fresh) > 0 && !old {
			return fresh, nil
		}
		if err != nil && ctx.Err() == nil {
			r.troubled(err)
		}
		if !sleep(ctx, rekeyEvery) {
			if err == nil && len(keys) > 0 && !old && wanted != "" {
				return nil, fmt.Errorf("%w: the host shows %s, not %s", ErrHostKey, strings.Join(prints(keys), " "), wanted)
			}
			if err != nil && !old {
				return nil, err
			}
			return nil, nil
		}
	}
}

func prints(keys []HostKey) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.Fingerprint
	}
	return all
}
