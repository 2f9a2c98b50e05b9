//go:build linux && amd64 && !noembedded

package embedded

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

const loadsLibrary = true

// serveLibrary is the whole life of ClickHouse's child: it opens the library and hands it the command line. It returns when ClickHouse has ended.
func serveLibrary(path string, args []string) error {
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	var query func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	purego.RegisterLibFunc(&query, lib, "chdb_query_cmdline")
	// The arguments stay where they are, since the garbage collector moves nothing on the heap, and alive, since pinned holds them.
	argv := make([]*byte, 0, len(args)+2)
	var pinned runtime.Pinner
	defer pinned.Unpin()
	for _, a := range append([]string{"clickhouse"}, args...) {
		b := append([]byte(a), 0)
		pinned.Pin(&b[0])
		argv = append(argv, &b[0])
	}
	argv = append(argv, nil)
	pinned.Pin(&argv[0])
	runtime.LockOSThread()
	result := query(int32(len(args)+1), unsafe.Pointer(&argv[0]))
	if result == nil {
		return fmt.Errorf("clickhouse has ended without a result")
	}
	if message := resultError(lib, result); message != "" {
		return fmt.Errorf("clickhouse: %s", message)
	}
	return nil
}

// resultError is the error message of a chdb_result, empty for none.
func resultError(lib uintptr, result unsafe.Pointer) string {
	if _, err := purego.Dlsym(lib, "chdb_result_error"); err != nil {
		return ""
	}
	var message func(unsafe.Pointer) string
	purego.RegisterLibFunc(&message, lib, "chdb_result_error")
	_ = os.Stderr.Sync()
	return message(result)
}
