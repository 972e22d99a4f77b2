package plan

// SetMaxUndone makes the bound of one user's test plans that are not done small enough for a test.
func (e *Engine) SetMaxUndone(n int) { e.most = n }
