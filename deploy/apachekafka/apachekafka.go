// Package apachekafka runs Apache Kafka itself, one node in KRaft mode, as a child process on the loopback interface. The tests run on it what
// they otherwise run on the embedded broker. It needs Java 17 or later and Maven, which fetches the broker once (see Install).
package apachekafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded"
)

// Options say how a broker is started. Dir alone is enough.
type Options struct {
	// Dir keeps everything: records, log, configuration, ports. A folder of an earlier broker is taken up.
	Dir string
	// Cache keeps the jars; empty for embedded.CacheDir's.
	Cache string
	// Progress is told how the installation gets on; nil for none.
	Progress func(embedded.Progress)
	// Config is further configuration of the broker, such as transaction.max.timeout.ms.
	Config map[string]string
}

// Broker is a running Apache Kafka. It takes records of up to 16 MiB and keeps them for ever unless a topic says otherwise. On Linux it does
// not outlive its parent.
type Broker struct {
	server *embedded.Server
	port   int
}

// Start installs the broker if need be, starts it and returns when it answers. It goes on after ctx has ended; Stop ends it.
func Start(ctx context.Context, o Options) (*Broker, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New("start apache kafka: java is not on the PATH: install a Java runtime, 17 or later")
	}
	jars, err := Install(ctx, o.Cache, o.Progress)
	if err != nil {
		return nil, err
	}
	n := node{Options: o, java: java, classPath: filepath.Join(string(jars), "*")}
	if n.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("start apache kafka: %w", err)
	}
	port, err := n.prepare(ctx)
	if err != nil {
		return nil, fmt.Errorf("start apache kafka: %w", err)
	}
	b := &Broker{port: port}
	b.server, err = embedded.StartServer(ctx, embedded.ServerOptions{Name: "apache kafka", Path: java, Dir: n.Dir, Answers: b.answers,
		Args: append(javaFlags(n.Dir), "-cp", n.classPath, "kafka.Kafka", n.file(configFile))})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// javaFlags bound the heap and send the broker's own words to standard output, which is the log.
func javaFlags(dir string) []string {
	return []string{"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile=" + filepath.Join(dir, logFile)}
}

// Addr is where the broker listens, host:port.
func (b *Broker) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

// PID is the process id of the broker.
func (b *Broker) PID() int { return b.server.PID() }

// Alive tells whether the broker's process lives.
func (b *Broker) Alive() bool { return b.server.Alive() }

// Kill ends the broker as kill -9 does and returns when it is gone. Restart starts it again.
func (b *Broker) Kill() error { return b.server.Kill() }

// Restart stops the broker if it runs and starts it again, on the same port and with the same records. It returns when it answers.
func (b *Broker) Restart(ctx context.Context) error { return b.server.Restart(ctx) }

// Stop ends the broker; one that has not ended by itself when ctx ends is killed.
func (b *Broker) Stop(ctx context.Context) error { return b.server.Stop(ctx) }

// answers asks for the cluster: it is ready when the broker names itself.
func (b *Broker) answers(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	brokers, err := kadm.NewClient(cl).ListBrokers(ctx)
	if err == nil && len(brokers) != 1 {
		err = fmt.Errorf("the cluster has %d brokers", len(brokers))
	}
	return err
}

// node prepares the folder of a broker.
type node struct {
	Options
	java      string
	classPath string
}

const (
	configFile = "server.properties"
	logFile    = "log4j2.properties"
	dataDir    = "data"
)

func (n node) file(name string) string { return filepath.Join(n.Dir, name) }

// prepare makes the folder ready and returns the broker's port, the last run's if there was one.
func (n node) prepare(ctx context.Context) (int, error) {
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		return 0, err
	}
	if _, err := os.Stat(n.file(dataDir + "/meta.properties")); err == nil {
		text, err := os.ReadFile(n.file(configFile))
		if err != nil {
			return 0, err
		}
		return listenerPort(string(text))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	ports, err := embedded.FreePorts(2)
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(n.file(configFile), []byte(n.properties(ports[0], ports[1])), 0o644); err != nil {
		return 0, err
	}
	if err := os.WriteFile(n.file(logFile), []byte(logProperties), 0o644); err != nil {
		return 0, err
	}
	return ports[0], n.format(ctx)
}

// properties is the broker's configuration: one node that is broker and controller.
func (n node) properties(port, controller int) string {
	listen := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
	var b strings.Builder
	for _, line := range [][2]string{
		{"process.roles", "broker,controller"},
		{"node.id", "1"},
		{"controller.quorum.voters", "1@" + listen(controller)},
		{"listeners", brokerListener + listen(port) + ",CONTROLLER://" + listen(controller)},
		{"controller.listener.names", "CONTROLLER"},
		{"log.dirs", n.file(dataDir)},
		{"num.partitions", "4"},
		{"message.max.bytes", "16842752"}, // a record of 16 MiB and what surrounds it
		{"log.retention.ms", "-1"},
		{"log.index.size.max.bytes", "1048576"}, // a test has many partitions and few records
		{"auto.create.topics.enable", "false"},
		// One node holds the only copy of everything.
		{"offsets.topic.replication.factor", "1"}, {"offsets.topic.num.partitions", "4"},
		{"transaction.state.log.replication.factor", "1"}, {"transaction.state.log.min.isr", "1"}, {"transaction.state.log.num.partitions", "4"},
		{"share.coordinator.state.topic.replication.factor", "1"}, {"share.coordinator.state.topic.min.isr", "1"},
		// A killed broker is itself again once the controller has given the dead one up: 9 s by default.
		{"broker.session.timeout.ms", "2000"}, {"broker.heartbeat.interval.ms", "500"},
		// A transaction that follows another closely is answered once the last one's marks are written, for which the broker looks every 20 ms by
		// default: that would be most of the time that a small transaction takes.
		{"add.partitions.to.txn.retry.backoff.ms", "2"},
		// A group's first member need not wait for others, nor a lost one be waited for.
		{"group.initial.rebalance.delay.ms", "0"}, {"group.min.session.timeout.ms", "100"},
	} {
		b.WriteString(line[0] + "=" + line[1] + "\n")
	}
	for key, value := range n.Config {
		b.WriteString(key + "=" + value + "\n")
	}
	return b.String()
}

const brokerListener = "PLAINTEXT://"

// listenerPort is the broker's port in its configuration.
func listenerPort(properties string) (int, error) {
	_, rest, ok := strings.Cut(properties, brokerListener+"127.0.0.1:")
	port, _, more := strings.Cut(rest, ",")
	if !ok || !more {
		return 0, errors.New(configFile + " names no listener: remove the folder")
	}
	return strconv.Atoi(port)
}

// logProperties sends warnings to standard output.
const logProperties = `appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %m (%c{1})%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
`

// format gives the node's folder the identity of a new cluster.
func (n node) format(ctx context.Context) error {
	var id [16]byte
	rand.Read(id[:])
	id[0] &= 0x7f // else the text may begin with a minus, which reads as an option
	cmd := exec.CommandContext(ctx, n.java, append(javaFlags(n.Dir), "-cp", n.classPath, "kafka.tools.StorageTool", "format",
		"-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", n.file(configFile))...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("format %s: %w: %s", n.Dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}
