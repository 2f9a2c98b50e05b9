package apachekafka

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"adventureworks.example/extract/deploy/embedded"
)

// pom names the broker's version; Maven finds what that needs.
//
//go:embed pom.xml
var pom []byte

// jarBytes is the room that the jars need, with Maven's own copies of them.
const jarBytes = 150 << 20

// Jars is a folder with the broker's jars.
type Jars string

// Install returns the broker's jars, fetching them with Maven the first time: 44 MB under cache (empty for embedded.CacheDir's). Several
// processes may call it at once: one fetches, the others wait. progress is told of waiting and fetching and may be nil.
func Install(ctx context.Context, cache string, progress func(embedded.Progress)) (Jars, error) {
	if progress == nil {
		progress = func(embedded.Progress) {}
	}
	sum := sha256.Sum256(pom)
	dir, err := embedded.Tree{Name: "apachekafka-" + hex.EncodeToString(sum[:6]), Inside: "libs", Bytes: jarBytes,
		Make: func(ctx context.Context, dir string) ([]string, error) {
			progress(embedded.Progress{Phase: embedded.PhaseInstall})
			return copyJars(ctx, dir)
		}}.Ensure(ctx, cache, progress)
	if err != nil {
		return "", fmt.Errorf("install apache kafka: %w", err)
	}
	return Jars(dir), nil
}

// copyJars has Maven copy the jars into the folder libs of dir.
func copyJars(ctx context.Context, dir string) ([]string, error) {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return nil, errors.New("mvn is not on the PATH: install Maven, which fetches the broker")
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), pom, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs")
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, explainMaven(err, out.String())
	}
	jars, err := filepath.Glob(filepath.Join(dir, "libs", "*.jar"))
	if err != nil {
		return nil, err
	}
	if len(jars) == 0 {
		return nil, errors.New("mvn copied no jars: check Maven's settings")
	}
	for i, jar := range jars {
		jars[i] = filepath.Base(jar)
	}
	return jars, nil
}

// explainMaven turns what Maven printed into one sentence with a remedy.
func explainMaven(err error, out string) error {
	for _, c := range []struct{ text, sentence string }{
		{"Unknown host", "mvn cannot reach its repository: check the network, or the proxy and mirror in Maven's settings"},
		{"UnknownHostException", "mvn cannot reach its repository: check the network, or the proxy and mirror in Maven's settings"},
		{"Temporary failure in name resolution", "mvn cannot reach its repository: check the network, or the proxy and mirror in Maven's settings"},
		{"Connection refused", "mvn cannot reach its repository: check the network, or the proxy and mirror in Maven's settings"},
		{"timed out", "mvn cannot reach its repository: check the network, or the proxy and mirror in Maven's settings"},
		{"Could not find artifact", "mvn's repository does not have the broker: check the mirror in Maven's settings"},
		{"No space left on device", "the disk is full: free 150 MB, or set EXTRACT_CACHE to a folder on a larger disk"},
		{"JAVA_HOME", "mvn finds no Java: install a JDK, 17 or later, or set JAVA_HOME"},
	} {
		if strings.Contains(out, c.text) {
			return fmt.Errorf("%s (%s)", c.sentence, c.text)
		}
	}
	out = strings.TrimSpace(out)
	return fmt.Errorf("mvn: %w: %s", err, strings.ToValidUTF8(out[max(0, len(out)-600):], ""))
}
