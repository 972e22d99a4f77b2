// Package ssh is the transport: it reaches hosts by SSH, keeps one pool of
// connections for the whole process, and runs commands that outlive them.
//
// From the outside there is [Transport], which implements executor.Transport, and
// a few functions about host keys for the command line. Inside, a place is what
// the pool keeps for one way of reaching a host; it holds links (SSH
// connections), which grant sessions (channels that run one exec each).
package ssh
