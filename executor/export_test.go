package executor

// SetMostUnended makes the bound of what one user has of runs that have not ended small enough for a test.
func (e *Executor) SetMostUnended(runs, bytes int) { e.most = pile{runs, bytes} }
