// Package api is the door: the REST server of a controller and the client of
// the same routes.
//
// Both ends share one error table: what the executor refuses with
// executor.ErrForbidden travels as a problem document (RFC 9457) and comes out
// of a [Client] as a [*Problem] that unwraps to executor.ErrForbidden again, so
// errors.Is works on both ways. Values that the executor has names for
// (executor.Run, executor.Token ...) are sent as they are; the types declared
// here are those that only exist on the wire.
package api
