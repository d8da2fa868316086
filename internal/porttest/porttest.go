// Package porttest finds addresses for servers of tests that stop and come back
// at the same one.
//
// The system gives out ports above 32768 to whoever connects to somewhere. A
// server that gives up such a port for a moment may find it taken by a
// connection of another test, or by one that dials the missing server itself
// (TCP lets a socket connect to itself), and cannot listen any more. The ports
// here lie below, so only a listener that names one takes it.
package porttest

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

const (
	first  = 20_000
	groups = 125 // of processes
	each   = 96  // ports of a group
)

var used atomic.Uint32

// Addr returns an address of 127.0.0.1 on which nothing listens, which no
// outgoing connection is given, and which no other call in this process gets.
// Test processes that run side by side have ports of their own, unless they are
// very many.
func Addr(t testing.TB) string {
	t.Helper()
	group := os.Getpid() % groups
	for range each {
		addr := fmt.Sprintf("127.0.0.1:%d", first+group*each+int(used.Add(1)%each))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue // taken
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return addr
	}
	t.Fatalf("none of %d ports from %d on is free", each, first+group*each)
	return ""
}
