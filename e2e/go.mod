module github.com/imtier/imtier/e2e

go 1.26.0

require (
	github.com/coder/websocket v1.8.15
	github.com/imtier/imtier/pkg v0.0.0-00010101000000-000000000000
	go.uber.org/goleak v1.3.0
)

require (
	github.com/alicebob/miniredis/v2 v2.40.0 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/redis/rueidis v1.0.79 // indirect
	github.com/yuin/gopher-lua v1.1.1 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/imtier/imtier/internal => ../internal

replace github.com/imtier/imtier/pkg => ../pkg

// npm packages of the browser tests, some of which contain Go.
ignore ./browser/node_modules
