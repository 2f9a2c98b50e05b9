package schemas

import (
	"context"
	"fmt"
	"net/http"
)

// newestVersion asks for the latest version of a subject.
const newestVersion = -1

// Newest returns the newest schema of a subject, nil when the registry has none. It is asked for anew every time.
func (r *Registry) Newest(ctx context.Context, subject string) (*Schema, error) {
	found, err := r.client.SchemaByVersion(ctx, subject, newestVersion)
	if err != nil {
		if statusOf(err) == http.StatusNotFound {
			return nil, nil
		}
		return nil, fmt.Errorf("look up the newest schema of %s: %w", subject, classify(err))
	}
	s, err := parseRegistered(found.Schema)
	if err != nil {
		return nil, fmt.Errorf("look up the newest schema of %s: %w: %w", subject, ErrUnknownSchema, err)
	}
	return s, nil
}
