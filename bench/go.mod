module github.com/imtier/imtier/bench

go 1.26.0

require (
	github.com/imtier/imtier/internal v0.0.0
	github.com/imtier/imtier/pkg v0.0.0
)

replace github.com/imtier/imtier/internal => ../internal

replace github.com/imtier/imtier/pkg => ../pkg
