package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/imtier/imtier/pkg/beat"
)

// Sentinels replace a master that is silent, or when somebody tells them to. What becomes of the one that was: it may be dead; or it
// goes on, takes messages for some ten seconds and answers every ping, until they make it a replica and cut those who follow it. As a
// replica it passes on what its master publishes, later, and with gaps that it does not tell of when it was away from it.
//
// The client hears of it from the sentinels, and sends to the new master from then on. Who follows a server hears nothing, so:
//
//   - who follows looks where the client sends to, and moves there;
//   - nobody follows a server that does not call itself a master: the client may not have heard yet. One that stops being one later
//     cuts the connection, since sentinels make it do both at once;
//   - nothing is said to be heard by who follows another server than the one that is read from.
//
// What the old master takes meanwhile, from a process that has not heard of the new one, is lost. It is of an epoch below
// that of the new master's life, so clients are told as of any loss. docs/operations.md says how to have less of it.

// masterInterval is between looks at where the client sends to. They cost no call to anybody.
const masterInterval = time.Second

var (
	errNewMaster = errors.New("another server has become the master")
	errNoMaster  = errors.New("the server is no master")
)

// anyServer is the address of the server that the client sends to. Of a Cluster's it is any: after a failure it will be another one.
func (s *Store) anyServer() string {
	for addr := range s.client.Nodes() {
		return addr
	}
	return ""
}

// followMaster keeps the connection to the server that is the master, until ctx ends.
func (b *Subscriber) followMaster(ctx context.Context) {
	for pause(ctx, beat.Until(masterInterval)) {
		b.mu.Lock()
		for _, f := range b.followers {
			f.mu.Lock()
			f.keepToMaster()
			f.mu.Unlock()
		}
		b.mu.Unlock()
	}
}

// keepToMaster breaks a connection to another server than the one that the client sends to, and reports whether it could stay. The
// caller holds mu.
func (f *follower) keepToMaster() bool {
	if !f.b.s.sentinel || f.at == f.b.s.anyServer() {
		return true
	}
	f.close(errNewMaster)
	return false
}

// wantMaster fails unless the server calls itself a master.
func wantMaster(conn net.Conn) error {
	if _, err := conn.Write(appendCommand(nil, "INFO", "replication")); err != nil {
		return err
	}
	line, err := readLine(conn)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
	if err != nil || line[0] != '$' || n < 0 || n > maxInfo {
		return fmt.Errorf("redis answered %q", line)
	}
	info := make([]byte, n+len("\r\n"))
	if _, err := io.ReadFull(conn, info); err != nil {
		return err
	}
	if role := infoField(string(info), "role"); role != "master" {
		return fmt.Errorf("%w: %s", errNoMaster, role)
	}
	return nil
}

// maxInfo is more than a section of INFO has, bytes.
const maxInfo = 1 << 20
