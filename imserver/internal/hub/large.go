package hub

// listedEach is what naming a stream in a start or ack takes beside its name: a position of 41 bytes, and punctuation.
const listedEach = 64

// list notes that the connection follows one stream more (1) or less (-1), or nothing new (0). The caller holds mu.
func (c *Conn) list(f *follow, more int32) {
	if f != nil {
		c.listed += more * int32(len(f.t.wire)+listedEach)
	}
	if c.V1 && c.sock != nil {
		c.sock.SetMaxMessage(c.largest())
	}
}

// largest is how many bytes a frame of the client may have: as many as a message, and as it needs to name all that it follows, twice,
// since names may need escaping, and a client may name groups that it has left meanwhile. The caller holds mu.
func (c *Conn) largest() int { return max(c.hub.opts.Input.MaxMessage, 2*int(c.listed)) }
