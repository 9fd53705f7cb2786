module github.com/imtier/imtier/bench

go 1.26.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0
	github.com/coder/websocket v1.8.15
	github.com/go-chi/chi/v5 v5.5.0
	github.com/imtier/imtier/internal v0.0.0
	github.com/imtier/imtier/pkg v0.0.0
	github.com/redis/rueidis v1.0.79
	golang.org/x/sys v0.49.0
)

require (
	github.com/alicebob/miniredis/v2 v2.40.0 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/yuin/gopher-lua v1.1.1 // indirect
)

replace github.com/imtier/imtier/internal => ../internal

replace github.com/imtier/imtier/pkg => ../pkg
