package faults

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
)

// Recognize gives an error of Kafka, of the schema registry or of the operating system its line of the table; an error that has one, and one that is not
// known, comes back as it is. Errors of the network are not known: only who called knows whom.
func Recognize(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*schemas.IncompatibleError](err); ok {
		return RegistryIncompatible.Of(err)
	}
	for _, known := range []struct {
		is   error
		name Name
	}{
		{schemas.ErrRegistryUnavailable, RegistryDown}, {schemas.ErrRegistryDenied, RegistryRefused}, {schemas.ErrUnknownSchema, RegistryUnknownID},
	} {
		if errors.Is(err, known.is) {
			return known.name.Of(err)
		}
	}
	if k, ok := errors.AsType[*kerr.Error](err); ok {
		if f, ok := Find(Kafka, k.Message); ok {
			return f.Of(err)
		}
		return err
	}
	for _, bad := range []any{new(x509.UnknownAuthorityError), new(x509.HostnameError), new(x509.CertificateInvalidError)} {
		if errors.As(err, bad) {
			return KafkaCertificate.Of(err)
		}
	}
	return err
}

// RecognizeKafka is Recognize for an error of a call to Kafka, so that a network that fails is Kafka's.
func RecognizeKafka(err error) error {
	err = Recognize(err)
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return err
	}
	if Unreachable(err) || errors.Is(err, kgo.ErrRecordTimeout) || errors.Is(err, kgo.ErrRecordRetries) {
		return KafkaDown.Of(err)
	}
	return err
}

// RecognizeFile is Recognize for an error of a call to the file system. A file that is not there is not known: mostly it has been put away.
func RecognizeFile(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	for code, errno := range errnos {
		if errors.Is(err, errno) {
			f, _ := Find(Files, code)
			return f.Of(err)
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return FileRefused.Of(err)
	}
	return err
}

// errnos are the operating system's errors in the table.
var errnos = map[string]error{"ENOSPC": syscall.ENOSPC, "EDQUOT": syscall.EDQUOT, "EROFS": syscall.EROFS, "EMFILE": syscall.EMFILE, "ENFILE": syscall.ENFILE,
	"EIO": syscall.EIO}

// Unreachable tells whether a call failed for its connection or its time, so that whoever was called did not answer.
func Unreachable(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.DeadlineExceeded, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
