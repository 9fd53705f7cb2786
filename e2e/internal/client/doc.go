// Package client speaks imtier's protocol as docs/protocol.md describes it, and nothing else: a Conn is one connection, of
// either kind; a Client keeps one open, as an application would, and writes into a ledger what it sees.
//
//	conn, err := client.Dial(ctx, url, client.V1)       // one connection, one frame at a time
//	c := client.New(client.Options{…}); go c.Run(ctx)   // reconnects, resumes, acknowledges
package client
