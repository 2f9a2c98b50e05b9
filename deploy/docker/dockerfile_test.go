package docker_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

const dockerfile = "deploy/docker/Dockerfile"

// instructions are the Dockerfile's, a line each, by stage.
func instructions(text string) (stages [][]string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "FROM "):
			stages = append(stages, []string{line})
		case len(stages) > 0:
			stages[len(stages)-1] = append(stages[len(stages)-1], line)
		}
	}
	return stages
}

// value is what an instruction of a stage says; it is empty when the stage has none.
func value(stage []string, instruction string) string {
	for _, line := range stage {
		if rest, ok := strings.CutPrefix(line, instruction+" "); ok {
			return rest
		}
	}
	return ""
}

// buildTags are the tags that the Dockerfile builds with.
func buildTags(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`-tags (\S+)`).FindStringSubmatch(readFile(t, dockerfile))
	if m == nil {
		t.Fatal("the Dockerfile builds without tags")
	}
	return m[1]
}

func TestDockerfileFitsTheComposeFile(t *testing.T) {
	for _, problem := range imageProblems(mustLoad(t), readFile(t, dockerfile), readFile(t, "go.mod")) {
		t.Error(problem)
	}
}

// imageProblems is everything that is wrong with the Dockerfile beside the services that are made of it.
func imageProblems(p *types.Project, text, module string) (all []string) {
	add := func(problem string) { all = append(all, problem) }
	stages := instructions(text)
	if len(stages) != 2 || stages[1][0] != "FROM scratch" || !strings.HasSuffix(stages[0][0], " AS build") {
		return []string{"want two stages, build and one from scratch"}
	}
	build, image := stages[0], stages[1]
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(module)[1]
	if !strings.Contains(build[0], "golang:"+version+"-") {
		add("the builder is not Go " + version)
	}
	compile := ""
	for _, line := range build {
		if strings.Contains(line, "go build") {
			compile = line
		}
	}
	if !strings.Contains(value(build, "ENV"), "CGO_ENABLED=0") || !strings.Contains(compile, "noembedded") {
		add("the program is not static")
	}
	words := strings.Fields(compile)
	if _, err := os.Stat(filepath.Join(root, words[len(words)-1])); err != nil {
		add(err.Error())
	}
	if value(image, "COPY") != "--from=build /root-fs/ /" {
		add("the image is not what was built: COPY " + value(image, "COPY"))
	}
	entry := strings.Trim(value(image, "ENTRYPOINT"), `[]"`)
	if !strings.Contains(compile, "-o /root-fs"+entry+" ") {
		add("the entry point " + entry + " is not what was built")
	}
	if !strings.Contains(text, "ca-certificates.crt /root-fs/etc/ssl/certs/") {
		add("the image has no authorities of TLS")
	}
	for _, s := range p.Services {
		if s.Build == nil {
			continue
		}
		if user := value(image, "USER"); s.User != user {
			add(s.Name + ": runs as " + s.User + ", the image's folders belong to " + user)
		}
		if s.HealthCheck != nil && !s.HealthCheck.Disable && (len(s.HealthCheck.Test) != 3 || s.HealthCheck.Test[1] != entry) {
			add(s.Name + ": its health check is not the program")
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume && !slices.Contains(strings.Fields(text), "/root-fs"+v.Target) {
				add(s.Name + ": the image has no folder " + v.Target + " that gives the volume its owner")
			}
			if v.Type == types.VolumeTypeBind && path.Dir(v.Target) != value(image, "WORKDIR") {
				add(s.Name + ": " + v.Target + " is not where the program looks for its configuration")
			}
		}
	}
	return all
}

func TestBrokenDockerfilesAreSeen(t *testing.T) {
	text, module := readFile(t, dockerfile), readFile(t, "go.mod")
	for _, c := range []struct{ name, old, new, want string }{
		{"another base", "FROM scratch", "FROM debian", "two stages"},
		{"another Go", "golang:1.", "golang:0.", "the builder is not Go"},
		{"cgo", "CGO_ENABLED=0", "CGO_ENABLED=1", "not static"},
		{"with the engine", "-tags noembedded,", "-tags ", "not static"},
		{"another command", "./cmd/extract", "./cmd/extrakt", "no such file"},
		{"another copy", "COPY --from=build /root-fs/ /", "COPY . /", "not what was built"},
		{"another entry point", `ENTRYPOINT ["/usr/local/bin/extract"]`, `ENTRYPOINT ["/extract"]`, "entry point"},
		{"no authorities", "ca-certificates.crt /root-fs", "ca-certificates.crt /tmp", "authorities"},
		{"another user", "USER 65532:65532", "USER 0", "the image's folders belong to 0"},
		{"another folder", "/root-fs/var/lib/extract/lake", "/root-fs/var/lib/extract/sea", "has no folder /var/lib/extract/lake"},
		{"another place", "WORKDIR /etc/extract", "WORKDIR /", "is not where the program looks"},
	} {
		broken := strings.Replace(text, c.old, c.new, 1)
		if found := strings.Join(imageProblems(mustLoad(t), broken, module), "\n"); broken == text || !strings.Contains(found, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, found, c.want)
		}
	}
}

// TestNothingThatIsBuiltIsIgnored reads .dockerignore against the files that Go builds and embeds.
func TestNothingThatIsBuiltIsIgnored(t *testing.T) {
	var patterns []string
	for line := range strings.Lines(readFile(t, ".dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, line)
		}
	}
	if !slices.Contains(patterns, ".env") || !slices.Contains(patterns, ".git") {
		t.Errorf(".dockerignore lets secrets and history through: %v", patterns)
	}
	for _, name := range []string{"go.mod", "go.sum", "cmd/extract/main.go", "schemas/progress.avsc", "deploy/embedded/npm/package.json",
		"deploy/embedded/npm/package-lock.json", "deploy/adventureworks/extract.yaml", "deploy/adventureworks/dataset/010_image.sql"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
		for _, p := range patterns {
			if ignores(t, p, name) {
				t.Errorf("%s is ignored by %s", name, p)
			}
		}
	}
	for name, pattern := range map[string]string{"docs/compose.md": "docs", "a/b/x.test": "**/*.test", ".env": ".env"} {
		if !ignores(t, pattern, name) {
			t.Errorf("%s is not ignored by %s", name, pattern)
		}
	}
}

// ignores tells whether a pattern of .dockerignore matches a file or a folder above it. Patterns begin at the top; **/ is any depth.
func ignores(t *testing.T, pattern, name string) bool {
	t.Helper()
	rest, deep := strings.CutPrefix(pattern, "**/")
	for ; name != "."; name = path.Dir(name) {
		whole := name
		if deep {
			whole = path.Base(name)
		}
		ok, err := path.Match(rest, whole)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return true
		}
	}
	return false
}
