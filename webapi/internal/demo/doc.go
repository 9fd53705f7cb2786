// Package demo plays the backend of a small chat product on top of imhelper, for the page in web/demo. package webapi
// mounts it under /demo/ and runs Run when IM_DEMO is on.
//
//	POST /demo/session      {name}                  {token, clientId, name}: who one is from now on
//	GET  /demo/me                                   {clientId, name, rooms}
//	POST /demo/connect      {rooms}                 {url}: a fresh URL; the rooms are joined when it is used
//	GET  /demo/rooms                                {rooms: [{room, members, online}]}
//	POST /demo/rooms/join   {room}                  {room, members, online}
//	POST /demo/rooms/leave  {room}                  {room, members, online}
//	GET  /demo/people                               {people: [{clientId, name, online}], total}
//	POST /demo/messages     {id, to, text}          {id}; to is {room}, {person} or {everyone: true}
//	GET  /demo/messages     ?room                   {messages}: the newest of a room, or of one's own inbox
//
// Nothing is stored but what imtier itself stores, so any number of webapis can serve the same page:
//
//   - A session is a signed token that the page keeps; a sender's name is never taken from a message's content.
//   - A nickname is part of the clientId, "demo:<nickname>~<random>", so every message's sender carries it.
//   - A room is a group named "demo:room:<room>", and everybody is a member of "demo:lobby" while online.
//   - Run turns imtier's events into messages: "<name> came in" to rooms, who is online and how full rooms are to
//     the lobby.
//
// The prefix keeps the demo's people and rooms apart from a product's that uses the same Redis; only a broadcast
// reaches everybody, which is what a broadcast is.
package demo
