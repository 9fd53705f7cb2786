// Package webapi is the program that speaks HTTP: to backends that send messages, manage groups and ask who is
// online, and to pages that need a URL to connect. It keeps no state: what it is told goes to Redis through package
// imhelper, and any number of webapis may run side by side.
//
//	cmd/webapi          settings, signals, exit code
//	webapi              the wiring, and the order of starting and stopping
//	internal/api        the routes under /v1, the OpenAPI document
//	internal/usertoken  the product's own user tokens on /v1/connect
//	internal/webhook    posts events to the product's backend
//	internal/freeim     FreeIM's routes under /ws/
//	internal/demo       the backend of the demo page
//	web                 pages
package webapi
