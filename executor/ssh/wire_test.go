package ssh

import (
	"io"
	"net"
	"testing"
	"time"
)

// A host that has ended its half of a connection takes what is written to it. Nothing may be:
// x/crypto/ssh waits for ever for the answer to a channel opened on such a connection.
func TestNothingIsWrittenOnceReadingHasEnded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mine, err := net.DialTimeout("tcp", l.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	w := &wire{Conn: mine}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := theirs.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read: %v", err)
	}
	if n, err := w.Write([]byte("y")); err == nil || n != 0 {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
}
