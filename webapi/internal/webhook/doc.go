// Package webhook tells the product's backend what happens to clients by HTTP, as the Standard Webhooks specification
// describes: https://www.standardwebhooks.com. All webapis of an installation share the work.
//
//	events of a consumer group ─▶ onEvent ─▶ post ─▶ 2xx: acknowledged
//	                                              └▶ else: again after a while; at the end of the schedule: dead letter
//	requests of clients ─▶ onRequest ─▶ post ─▶ 2xx: its body is the reply
//
// The events of one client come in their order: one that fails holds up those behind it, of its partition only. What
// waits is in Redis, not here. The specification's headers are signed anew for each attempt; webhook-id is the event's
// own, so that a receiver can tell one that it has seen.
package webhook
