package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
)

// Endpoints say where the parts of a running stack listen.
type Endpoints struct {
	Kafka          []string `json:"kafka"`           // host:port
	Registry       string   `json:"registry"`        // http://host:port
	ClickHouse     string   `json:"clickhouse"`      // host:port of the native protocol
	ClickHouseHTTP string   `json:"clickhouse_http"` // http://host:port
	Postgres       string   `json:"postgres"`        // postgres://user:password@host:port/database, for the superuser
	PID            int      `json:"pid"`             // of the process that holds the stack
}

const endpointsFile = "endpoints.json"

// ErrNotRunning is returned for a folder without a running stack.
var ErrNotRunning = errors.New("no embedded stack is running")

// Endpoints says where the parts listen.
func (s *Stack) Endpoints() Endpoints {
	return Endpoints{
		Kafka:          s.Kafka.Brokers(),
		Registry:       s.Registry.URL(),
		ClickHouse:     s.ClickHouse.Addr(),
		ClickHouseHTTP: s.ClickHouse.HTTP(),
		Postgres:       s.Postgres.URL(""),
		PID:            os.Getpid(),
	}
}

// ReadEndpoints says where the stack that runs in the folder listens, or returns ErrNotRunning. A file that a killed stack has left does
// not count.
func ReadEndpoints(dir string) (Endpoints, error) {
	text, err := os.ReadFile(filepath.Join(dir, endpointsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Endpoints{}, fmt.Errorf("%w in %s", ErrNotRunning, dir)
	} else if err != nil {
		return Endpoints{}, err
	}
	lock, err := lockNow(filepath.Join(dir, lockFile))
	if err == nil {
		lock.Close()
		return Endpoints{}, fmt.Errorf("%w in %s", ErrNotRunning, dir)
	} else if !errors.Is(err, errLocked) {
		return Endpoints{}, err
	}
	var e Endpoints
	if err := json.Unmarshal(text, &e); err != nil {
		return Endpoints{}, fmt.Errorf("read %s: %w", filepath.Join(dir, endpointsFile), err)
	}
	return e, nil
}

func (s *Stack) writeEndpoints() error {
	e := s.Endpoints()
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	ports, err := json.Marshal(Ports{Kafka: portIn(e.Kafka[0]), Registry: portIn(e.Registry), ClickHouse: portIn(e.ClickHouse),
		ClickHouseHTTP: portIn(e.ClickHouseHTTP), Postgres: portIn(e.Postgres)})
	if err != nil {
		return err
	}
	return errors.Join(writeFile(filepath.Join(s.dir, portsFile), ports, 0o600),
		writeFile(filepath.Join(s.dir, endpointsFile), text, 0o600))
}

func removeEndpoints(dir string) error {
	if err := os.Remove(filepath.Join(dir, endpointsFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// portIn is the port of host:port or of a URL, 0 for none.
func portIn(address string) int {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}
