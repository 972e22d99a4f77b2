package api

import "io"

// droppedHeader marks a response whose log lost its beginning to retention.
const droppedHeader = "X-Log-Dropped"

// writeError keeps an error of the caller's writer apart from one of the connection.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

type errWriter struct{ w io.Writer }

func (w errWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}
