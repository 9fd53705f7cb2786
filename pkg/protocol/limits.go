package protocol

import "time"

// Limits of the wire. They are part of the contract: raising one is compatible, lowering one is not.
const (
	MaxNameLen   = 128 // bytes of a clientId or group
	MaxDeviceLen = 64  // bytes of a device
	MaxIDLen     = 64  // bytes of a message id given by a caller

	MaxMetaLen    = 4 << 10 // bytes of the metadata given at pre-connect; it travels in the URL
	MaxGroupsJoin = 100     // groups that one pre-connect URL may join
	MaxReceivers  = 1000    // receivers of one send, sends of one batch, members of one change
	MaxReadIDs    = 1000    // ids of one read frame
	MaxToken      = 8 << 10 // bytes of a pre-connect token; more is refused unread

	DefaultMaxMessage = 64 << 10 // bytes of a message's data, either way, unless set otherwise

	DefaultDevice = "default"

	IdempotencyWindow = 5 * time.Minute // how long a caller's message id answers with its first result
)
