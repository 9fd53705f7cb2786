module github.com/imtier/imtier/imserver

go 1.26.0

require (
	github.com/coder/websocket v1.8.15
	github.com/imtier/imtier/internal v0.0.0
	github.com/imtier/imtier/pkg v0.0.0
)

require (
	github.com/go-chi/chi/v5 v5.5.0 // indirect
	github.com/prometheus/client_golang v1.25.0 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	go.uber.org/zap v1.28.0 // indirect
)

replace github.com/imtier/imtier/internal => ../internal

replace github.com/imtier/imtier/pkg => ../pkg
