package producers

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"adventureworks.example/extract/schemas"
)

func TestClassify(t *testing.T) {
	cause := errors.New("disk on fire")
	for _, c := range []struct {
		err  error
		want Class
	}{
		{nil, ""},
		{cause, Retry},
		{io.ErrUnexpectedEOF, Retry},
		{fmt.Errorf("produce: %w", kerr.NotEnoughReplicas), Retry},
		{fmt.Errorf("create topic: %w", kerr.TopicAuthorizationFailed), Pause},
		{fmt.Errorf("take id: %w", kerr.InvalidTransactionTimeout), Pause},
		{fmt.Errorf("dial: %w", x509.UnknownAuthorityError{}), Pause},
		{fmt.Errorf("register: %w", &schemas.IncompatibleError{Subject: "aw.sql.t-value"}), Pause},
		{fmt.Errorf("register: %w", schemas.ErrRegistryDenied), Pause},
		{fmt.Errorf("register: %w", schemas.ErrRegistryUnavailable), Retry},
		{fmt.Errorf("%w: process 1", ErrFenced), Stop},
		{fmt.Errorf("open: %w", &Error{Class: Reject, Err: kerr.TopicAuthorizationFailed}), Reject},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("Classify(%v) = %q, want %q", c.err, got, c.want)
		}
		if got := Classify(explain(c.err)); got != c.want {
			t.Errorf("Classify(explain(%v)) = %q, want %q", c.err, got, c.want)
		}
	}
	if err := explain(kerr.PolicyViolation); !errors.Is(err, kerr.PolicyViolation) || !strings.Contains(err.Error(), "make it by hand") {
		t.Errorf("explained: %v", err)
	}
}
