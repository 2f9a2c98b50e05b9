package embedded

// Alive tells whether the child lives.
func (s *Server) Alive() bool { return s.current().alive() }

// ExitCode is the code that the child has ended with, -1 while it lives and after a signal.
func (s *Server) ExitCode() int {
	p := s.current()
	if p.alive() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Alive tells whether the child lives.
func (c *ClickHouse) Alive() bool { return c.ended().alive() }

// Alive tells whether the postmaster lives.
func (p *Postgres) Alive() bool { return p.ended().alive() }
