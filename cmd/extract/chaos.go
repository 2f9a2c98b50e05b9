package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/deploy/chaos"
	"adventureworks.example/extract/deploy/embedded"
)

// chaosCommand is hidden: it is a test of the system that a person can run, not work with data.
func (a *app) chaosCommand() *cobra.Command {
	var o chaos.Options
	cmd := &cobra.Command{
		Use:    "chaos",
		Short:  "Kill every process of the system at random while rows flow, and compare every row afterwards",
		Hidden: true,
		Long: `Chaos starts Kafka, the schema registry, ClickHouse, Postgres, three producers and two consumers, each as a process of its own, and kills them
with SIGKILL, freezes them and stops them by a plan that the seed makes, while rows come in at every source. Then everything drains and is compared:
by extract reconcile, and row by row without the program.

It ends with code 0 when every row is stored once, as its source holds it, and with 1 otherwise. What it leaves in its folder is removed when all
is well and no --dir was given.`,
		Example: `  extract chaos
  extract chaos --for 20m --kills 200 --dir /tmp/chaos
  extract chaos --seed 42 --kafka apache --format json
  extract chaos --kafka 10.0.0.1:9092,10.0.0.2:9092      brokers that are left alone`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Seed, "seed", 0, "makes the plan and the changes; 0 for another one each time")
	f.DurationVar(&o.For, "for", time.Minute, "how long members are killed")
	f.IntVar(&o.Kills, "kills", 0, "how many times, besides freezes and clean stops; 0 for one every four seconds")
	f.StringVar(&o.Kafka, "kafka", "", "empty for the embedded Kafka, `apache` for Apache Kafka (Java and Maven), or brokers as host:port,host:port")
	f.IntVar(&o.Rows, "rows", 8000, "about how many rows the sources hold at the start")
	f.DurationVar(&o.Drain, "drain", 5*time.Minute, "how long everything may take to arrive at the end")
	format := f.String("format", "text", "the report as text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if err := checkFormat(*format, "text", "json"); err != nil {
			return err
		}
		if o.For <= 0 || o.Kills < 0 || o.Rows < 1 || o.Drain <= 0 {
			return usageError{errors.New("--for, --kills, --rows and --drain are more than nothing")}
		}
		if o.Seed == 0 {
			o.Seed = rand.Uint64N(1 << 32)
		}
		o.Dir = a.dir
		if !cmd.Flags().Changed("dir") {
			if o.Dir, err = os.MkdirTemp("", "extract-chaos-"); err != nil {
				return err
			}
			if err := os.Chmod(o.Dir, 0o755); err != nil { // Postgres passes through it as another user
				return err
			}
		}
		return a.chaos(cmd.Context(), o, *format, !cmd.Flags().Changed("dir"))
	}
	cmd.AddCommand(a.chaosKafkaCommand(), a.chaosRegistryCommand())
	return cmd
}

func (a *app) chaos(ctx context.Context, o chaos.Options, format string, remove bool) (err error) {
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	if o.Log, err = newLog(a.stderr, a.logFormat, a.logLevel); err != nil {
		return err
	}
	o.Out = a.stderr
	fmt.Fprintf(a.stderr, "seed %d, everything in %s\n", o.Seed, o.Dir)
	report, err := chaos.Run(ctx, o)
	if report != nil {
		write := report.WriteText
		if format == "json" {
			write = report.WriteJSON
		}
		err = errors.Join(err, write(a.stdout))
	}
	if err != nil {
		return err
	}
	if !report.Kept() {
		return errAnswerIsNo
	}
	if remove {
		return os.RemoveAll(o.Dir)
	}
	return nil
}

// chaosKafkaCommand is the embedded Kafka as a process of its own, which can be killed.
func (a *app) chaosKafkaCommand() *cobra.Command {
	var o embedded.KafkaOptions
	cmd := &cobra.Command{Use: "kafka", Short: "Serve the embedded Kafka", Hidden: true, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) (err error) {
		if o.Log, err = newLog(a.stderr, a.logFormat, a.logLevel); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Clean(o.Dir), 0o755); err != nil {
			return err
		}
		k, err := embedded.StartKafka(o)
		if err != nil {
			return err
		}
		<-cmd.Context().Done()
		return k.Stop()
	}}
	cmd.Flags().StringVar(&o.Dir, "data", "", "`folder` of the records")
	cmd.Flags().IntVar(&o.Port, "port", 0, "port to listen on")
	return cmd
}

// chaosRegistryCommand is the embedded schema registry as a process of its own.
func (a *app) chaosRegistryCommand() *cobra.Command {
	var o embedded.RegistryOptions
	cmd := &cobra.Command{Use: "registry", Short: "Serve the embedded schema registry", Hidden: true, Args: noArgs}
	brokers := cmd.Flags().String("brokers", "", "Kafka's brokers")
	cmd.Flags().StringVar(&o.Topic, "topic", "", "topic of the registrations")
	cmd.Flags().IntVar(&o.Port, "port", 0, "port to listen on")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := embedded.StartRegistry(cmd.Context(), strings.Split(*brokers, ","), o)
		if err != nil {
			return err
		}
		<-cmd.Context().Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 5*time.Second)
		defer cancel()
		return r.Stop(grace)
	}
	return cmd
}
