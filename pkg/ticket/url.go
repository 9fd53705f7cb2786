package ticket

import "strings"

// URL is a node's public URL with a connect token: what a client opens.
func URL(node, token string) string { return withQuery(node, "token="+token) }

// SessionURL is a node's public URL with a session token.
func SessionURL(node, token string) string { return withQuery(node, "session="+token) }

// withQuery appends to a URL that may have a query of its own. A token's characters need no escaping.
func withQuery(url, query string) string {
	sep := "?"
	if strings.Contains(url, "?") {
		sep = "&"
	}
	return url + sep + query
}
