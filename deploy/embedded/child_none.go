//go:build !linux || !amd64 || noembedded

package embedded

const loadsLibrary = false

func serveLibrary(string, []string) error { return ErrPlatform }
