// Package api calls webapi as a backend does: JSON over HTTP with an API key.
package api
