// Package freeim answers the HTTP routes that FreeIM's demo page calls, so that a page written for FreeIM works with
// imtier. package webapi mounts it at / when IM_FREEIM_API is on; all of its routes begin with /ws/.
//
//	POST /ws/pre-connect      websocketId?                            {code, server, websocketId}
//	GET, POST /ws/offline     websocketId                             {code}
//	POST /ws/get-channels                                             {code, channels: [{chan, online}]}
//	POST /ws/subscr-channel   websocketId, channel                    {code}
//	POST /ws/send-channelmsg  websocketId, channel, message           {code}
//	POST /ws/send-broadcast   websocketId?, message                   {code}
//	POST /ws/send-msg         senderWebsocketId, receiveWebsocketId, message, isReceipt?   {code}
//
// A code of 0 is success; an error has its HTTP status as code, and a message. Requests are forms whose field names
// count in any case. A message is text, whatever is in it, and reaches sockets as a JSON string.
//
// Like FreeIM's, these routes ask nobody who they are: whoever reaches them can act for any client. They are for
// trying things out and for networks where that is acceptable.
package freeim
