package protocol

// What a sender is told about a message. A message that was read was delivered, also if nobody said so before.
const (
	StateDelivered = "delivered" // a client acknowledged it, or a raw connection's kernel took it
	StateRead      = "read"      // a client said that its user saw it
	StateExpired   = "expired"   // its ttl passed before it was delivered
)

// ReceiptData is the data of an envelope that IsReceipt: the message, its receiver, and what became of it.
func ReceiptData(id, clientID, state string) []byte {
	b := appendJSONString([]byte(`{"id":`), id)
	b = appendJSONString(append(b, `,"clientId":`...), clientID)
	b = appendJSONString(append(b, `,"state":`...), state)
	return append(b, '}')
}

// ReceiptFrame encodes a receipt of a stream. It carries a position like a message, so that it is resumed and
// acknowledged like one.
func ReceiptFrame(stream string, pos Position, e *Envelope) []byte {
	b := make([]byte, 0, 64+len(stream)+len(e.Data))
	b = append(b, `{"type":"receipt","stream":`...)
	b = appendJSONString(b, stream)
	if !pos.IsZero() {
		b = append(b, `,"pos":"`...)
		b = pos.Append(b)
		b = append(b, '"')
	}
	if len(e.Data) > 2 && e.Data[0] == '{' { // the members of data become members of the frame
		return append(append(b, ','), e.Data[1:]...)
	}
	return append(b, '}')
}
