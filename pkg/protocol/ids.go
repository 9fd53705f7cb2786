package protocol

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
)

// connIDLen is 4 hex digits of the partition and 16 random ones.
const connIDLen = 20

// NewID returns a UUIDv7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then random bits, so ids sort by time.
func NewID() string {
	var b [16]byte
	rand.Read(b[6:])
	ms := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint16(b[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(ms))
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80

	out := make([]byte, 36)
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out)
}

// NewConnID names a connection of a client in partition p. The partition is part of the name, so that a
// connection can be found without knowing its client.
func NewConnID(p int) string {
	var b [10]byte
	binary.BigEndian.PutUint16(b[:2], uint16(p))
	rand.Read(b[2:])
	return hex.EncodeToString(b[:])
}

// ConnPartition returns the partition that a connection's name carries; ok is false for anything that is not
// such a name.
func ConnPartition(connID string) (p int, ok bool) {
	if len(connID) != connIDLen {
		return 0, false
	}
	if _, err := hex.DecodeString(connID); err != nil {
		return 0, false
	}
	v, err := strconv.ParseUint(connID[:4], 16, 16)
	return int(v), err == nil
}
