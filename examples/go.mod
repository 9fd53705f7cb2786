module github.com/imtier/imtier/examples

go 1.26.0

require github.com/imtier/imtier/pkg v0.0.0

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/redis/rueidis v1.0.79 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/imtier/imtier/pkg => ../pkg
