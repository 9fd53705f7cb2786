// Package store is the only part of imtier that talks to Redis. It knows every key, channel and script; the others
// see streams, positions, sessions, groups and events. imserver, webapi and imhelper use it.
//
// Everything about one address (a clientId or a group) lies in the partition of that address, so that a script
// touches one slot of a Redis Cluster. The path of a message:
//
//	PublishInbox ── one call of lua/publish.lua per partition ──▶ XADD im:{tag}:s:i:<clientId>   kept for After
//	                                                              PUBLISH im:{tag}:c             heard by Subscriber (a Cluster: SPUBLISH)
//	Subscriber.Message(channel, payload) ── protocol.DecodePush ──▶ who and at which position
//	After(stream, position)                                      ──▶ what somebody missed
//
// Where things are:
//
//	keys.go                          all names            script.go            how scripts are run
//	store.go, errors.go              opening, checks      fence.go             how lost data is noticed
//	publish.go, publish_….go         sending              history.go           reading streams
//	subscribe.go, follower.go        hearing              redistest/           Redis for tests
//	route.go, slots.go, still.go     a Cluster's slots    greet.go             a Cluster's servers that come
//
// Every call ends within 3 seconds, with ErrUnavailable when Redis does not answer.
package store
