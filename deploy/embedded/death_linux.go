package embedded

import "syscall"

// setDeathSignal has the kernel send SIGQUIT when the thread that starts the child ends, which is when the parent does: process.run
// holds the thread. To Postgres SIGQUIT means to stop at once and to recover at the next start; ClickHouse's child has its standard input besides.
func setDeathSignal(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }

// killAtDeath has it send SIGKILL instead, for servers to which SIGQUIT means something else: Java prints its threads and goes on.
func killAtDeath(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
