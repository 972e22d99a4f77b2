package controller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"

	"tfw/executor"
)

const (
	policyFile  = "policy.yaml" // beside the inventory; need not be there
	policyEvery = 2 * time.Second
	policyQuiet = 200 * time.Millisecond // that an edit has to stay as it is
	maxPolicy   = 1 << 20
)

// policyText reads the policy file; nil when there is none. It waits for nobody: what is no regular file is refused.
func policyText(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s: is no regular file", path))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxPolicy {
		return nil, fmt.Errorf("%s: larger than 1 MiB", path)
	}
	return text, nil
}

// parsePolicy makes a policy of the file's text.
func parsePolicy(path string, text []byte) (*executor.Policy, error) {
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) { // such as one that is being written
		return nil, fmt.Errorf("%s: is empty (write \"rules: []\" for no rules)", path)
	}
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	p := &executor.Policy{}
	if err := strict.Decode(p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func (c *Controller) policyPath() string {
	return filepath.Join(filepath.Dir(c.cfg.Inventory), policyFile)
}

// loadPolicy takes the policy file as it was read, and puts on record what is new: an edit, a mistake.
func (c *Controller) loadPolicy(text []byte, unread error) error {
	before := c.policyText
	err := unread
	if err == nil {
		err = c.takePolicy(text)
	}
	switch e := c.hook.Load(); {
	case e == nil: // the start: see Began
	case err == nil && !bytes.Equal(before, c.policyText):
		e.Took(context.Background(), "file", executor.PolicyFile, c.policyRevision())
	case err != nil && err.Error() != c.policyBad:
		e.Reloaded(context.Background(), "file", executor.AuditEntry{Action: executor.PolicyFile, Object: c.policyRevision()}, err)
	}
	if c.policyBad = ""; err != nil {
		c.policyBad = err.Error()
	}
	return err
}

// policyRevision is the hash of the text in force.
func (c *Controller) policyRevision() string {
	if c.policy.Load() == nil {
		return "none"
	}
	sum := sha256.Sum256(c.policyText)
	return hex.EncodeToString(sum[:])
}

// takePolicy makes the rules of the text the ones in force. After the start, neither a mistake
// nor the file's absence takes the policy in force away: nobody gets rights by a slip.
func (c *Controller) takePolicy(text []byte) error {
	inForce := c.policy.Load() != nil
	switch {
	case inForce && text == nil:
		return fmt.Errorf("%s: is gone; the last policy stays in force until the next start", c.policyPath())
	case text == nil, inForce && bytes.Equal(text, c.policyText):
		return nil
	}
	p, err := parsePolicy(c.policyPath(), text)
	if err != nil {
		return err
	}
	c.log.Info("policy: in force", "file", c.policyPath(), "rules", len(p.Rules))
	c.policy.Store(p)
	c.policyText = text
	return nil
}

// lookAtPolicy takes the file if it is not being written just now: half a policy is less than the one in force. What is
// taken is the very text that had stayed as it was.
func (c *Controller) lookAtPolicy(ctx context.Context) (settled bool, err error) {
	before, _ := policyText(c.policyPath()) // what is wrong with it the loading tells
	c.reloading.Lock()
	known := bytes.Equal(before, c.policyText)
	c.reloading.Unlock()
	if !known {
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(policyQuiet):
		}
	}
	c.reloading.Lock() // from before the reading: a SIGHUP may take a newer text
	defer c.reloading.Unlock()
	text, unread := policyText(c.policyPath())
	if !bytes.Equal(text, before) {
		return false, nil
	}
	return true, c.loadPolicy(text, unread)
}

// watchPolicy takes edits of the file, and tells of each mistake once.
func (c *Controller) watchPolicy(ctx context.Context) {
	said := ""
	tick := time.NewTicker(policyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		settled, err := c.lookAtPolicy(ctx)
		switch {
		case !settled:
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			c.log.Error("policy: the edit is not taken, the last good one stays in force", "error", err)
		}
	}
}
