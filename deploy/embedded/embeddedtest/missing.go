package embeddedtest

import "testing"

// Missing skips the test for want of a server that this package does not start, or fails it where servers are required.
func Missing(t testing.TB, server string, err error) {
	t.Helper()
	missing(t, server, err)
}
