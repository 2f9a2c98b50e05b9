package embedded

import (
	"fmt"
	"os"
)

// childVariable is the environment variable that makes this executable ClickHouse's child: the library to open.
const childVariable = "EXTRACT_CHILD"

// RunChild makes this process ClickHouse's child, and never returns, if it was started as that; otherwise it returns at once. A program
// that starts a stack calls it first thing in main, a test that does so first thing in TestMain.
func RunChild() {
	library := os.Getenv(childVariable)
	if library == "" {
		return
	}
	// What ClickHouse starts is nobody's child of ours.
	if err := os.Unsetenv(childVariable); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := serveLibrary(library, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
