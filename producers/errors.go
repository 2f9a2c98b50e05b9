package producers

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"adventureworks.example/extract/schemas"
)

// ErrFenced means that another process has taken over the source: Kafka refuses what this one writes.
var ErrFenced = errors.New("another process runs this source")

// Error is an error whose class is known, with what is to be done about it. A Source returns one to choose the class.
type Error struct {
	Class  Class
	Err    error
	Remedy string // a sentence for a person; may be empty
}

// Error is the cause, then the remedy.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "; " + e.Remedy
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Classify says what is done about an error: the class of the outermost *Error, else what is known of Kafka's errors, else Retry. It is
// empty for nil.
func Classify(err error) Class {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	if errors.Is(err, ErrFenced) {
		return Stop
	}
	if remedy(err) != "" {
		return Pause
	}
	return Retry
}

// explain gives a bare error of Kafka that needs a person its remedy; other errors come back as they are.
func explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if r := remedy(err); r != "" {
		return &Error{Class: Pause, Err: err, Remedy: r}
	}
	return err
}

// remedies are the errors of Kafka that need a person, and what that person does.
var remedies = []struct {
	err    error
	remedy string
}{
	{kerr.TopicAuthorizationFailed, "grant this user Create, Describe, DescribeConfigs, Read and Write on the prefix's topics"},
	{kerr.ClusterAuthorizationFailed, "grant this user IdempotentWrite and, to make topics, Create on the cluster"},
	{kerr.TransactionalIDAuthorizationFailed, "grant this user Describe and Write on the transactional ids that start with the prefix"},
	{kerr.GroupAuthorizationFailed, "grant this user Read on the prefix's groups"},
	{kerr.SaslAuthenticationFailed, "check the Kafka user and password"},
	{kerr.UnsupportedSaslMechanism, "choose a SASL mechanism that the broker offers"},
	{kerr.IllegalSaslState, "the broker wants another security setting: check TLS and SASL"},
	{kerr.PolicyViolation, "the cluster's policy refuses the topic: make it by hand, or change the topic settings"},
	{kerr.InvalidReplicationFactor, "set a replication factor that the cluster's brokers can hold"},
	{kerr.InvalidPartitions, "set a number of partitions above zero"},
	{kerr.InvalidConfig, "correct the topic settings"},
	{kerr.InvalidTransactionTimeout, "lower the transaction timeout, or raise the broker's transaction.max.timeout.ms"},
	{kerr.MessageTooLarge, "raise the topic's max.message.bytes, or lower max_record_bytes"},
	{kerr.RecordListTooLarge, "raise the topic's segment.bytes, or lower max_record_bytes"},
	{kerr.InvalidTopicException, "choose a prefix, a source and dataset names that are legal in Kafka"},
	{kerr.UnsupportedVersion, "the broker is too old: Kafka 2.5 is the oldest with the transactions needed"},
	{schemas.ErrRegistryDenied, "check the schema registry's user and password"},
	{kerr.UnsupportedForMessageFormat, "the broker is too old: Kafka 2.5 is the oldest with the transactions needed"},
}

func remedy(err error) string {
	for _, r := range remedies {
		if errors.Is(err, r.err) {
			return r.remedy
		}
	}
	if _, ok := errors.AsType[*schemas.IncompatibleError](err); ok {
		return "change the source back, or loosen the subject's compatibility in the schema registry; it goes on by itself"
	}
	for _, bad := range []any{new(x509.UnknownAuthorityError), new(x509.HostnameError), new(x509.CertificateInvalidError)} {
		if errors.As(err, bad) {
			return "check the broker's certificate and the configured certificate authority"
		}
	}
	return ""
}

// isFencing tells whether Kafka refused because of the transactional id's epoch. Another process may have taken the id, or the broker may
// have ended a transaction that lasted too long.
func isFencing(err error) bool {
	for _, e := range []error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState, kerr.UnknownProducerID} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
