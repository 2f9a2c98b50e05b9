package embedded

import (
	"context"
	"errors"
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
	if err := beClickHouse(library, os.Getenv(forwardVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// beClickHouse serves until ClickHouse has ended. When its clients cannot be served the process ends.
func beClickHouse(library, forward string) error {
	// What ClickHouse starts is nobody's child of ours.
	if err := errors.Join(os.Unsetenv(childVariable), os.Unsetenv(forwardVariable)); err != nil {
		return err
	}
	forwarders, err := parseForward(forward)
	if err != nil {
		return err
	}
	for _, f := range forwarders {
		go func() { // it ends with the process
			if err := f.run(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}()
	}
	return serveLibrary(library, os.Args[1:])
}
