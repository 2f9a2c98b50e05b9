package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes, as `extract --help` documents them.
const (
	exitOK     = 0
	exitFailed = 1 // the work failed, or the answer is no: a gap, a part that is not healthy
	exitUsage  = 2 // the command line or the configuration is wrong; nothing was started
)

// usageError is an error of the command line or the configuration.
type usageError struct{ error }

// Unwrap is the error of the command line or the configuration itself.
func (e usageError) Unwrap() error { return e.error }

// app is what every command shares: where it reads its environment and writes its output, and the global flags.
type app struct {
	env    lookup
	stdout io.Writer
	stderr io.Writer

	config    string
	dir       string
	logFormat string
	logLevel  string
}

const rootHelp = `extract streams three kinds of source into Kafka as Avro and aggregates them in ClickHouse:
files dropped in a folder, the changes of a Postgres database, the records of a big-data lake.
Every committed source row is stored exactly once, exactly as it was, with its origin.

Start with the demo: it brings Kafka, a schema registry, ClickHouse, Postgres and sample data.

  extract demo                    everything, on this machine, with live figures
  extract query "SELECT ..."      SQL on the dataset, in another terminal
  extract status                  how far each source and partition is
  extract reconcile               what the sources hold against what is stored
  extract audit                   what was committed against what is stored, and its repair
  extract deadletters list        the rows that could not be stored, and why
  extract replay --topic ...      a table anew from Kafka, compared and exchanged

With servers of your own, describe them in a file (deploy/adventureworks/extract.yaml is a commented example):

  extract config check --config extract.yaml
  extract run --config extract.yaml

Commands that need a configuration use --config, else the running demo's folder (--dir), else ./extract.yaml.

Exit codes: 0 done, or stopped cleanly; 1 the work failed or the answer is no (a gap, a part that is not healthy);
2 the command line or the configuration is wrong and nothing was started.`

// run is the whole program: it parses args, does the work and returns the exit code. Tests call it in process.
func run(ctx context.Context, args []string, env lookup, stdout, stderr io.Writer) int {
	a := &app{env: env, stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:           "extract",
		Short:         "Files, Postgres and a lake into one ClickHouse dataset, every row exactly once",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // so that an unknown command is our error
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; see extract --help", args[0])}
			}
			return cmd.Help()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&a.config, "config", "c", "", "configuration `file`")
	flags.StringVar(&a.dir, "dir", defaultDemoDir, "the demo's `folder`")
	flags.StringVar(&a.logFormat, "log-format", "text", "log lines as `text` or json")
	flags.StringVar(&a.logLevel, "log-level", "info", "least `level` logged: debug, info, warn or error")
	root.AddCommand(a.demoCommand(), a.runCommand(), a.produceCommand(), a.consumeCommand(), a.reconcileCommand(), a.auditCommand(), a.queryCommand(),
		a.replayCommand(), a.statusCommand(), a.healthCommand(), a.errorsCommand(), a.sampleCommand(), a.configCommand(), a.versionCommand())
	root.AddCommand(a.chaosCommand())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(a.deadLettersCommand())
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "extract: %v\n", err)
		return exitUsage
	case errors.Is(err, errAnswerIsNo):
		return exitFailed
	}
	fmt.Fprintf(stderr, "extract: %v\n", err)
	return exitFailed
}

// errAnswerIsNo ends a command that has already said what it found.
var errAnswerIsNo = errors.New("the answer is no")
