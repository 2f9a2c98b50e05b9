package clickhouse

import (
	"errors"
	"fmt"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

func isUnknownSchema(err error) bool { return errors.Is(err, schemas.ErrUnknownSchema) }

// registryError is the error of a look-up that says nothing about the schema itself.
func registryError(id int, err error) error {
	e := &consumers.Error{Class: consumers.Retry, Err: fmt.Errorf("look up schema %d: %w", id, err)}
	if errors.Is(err, schemas.ErrRegistryDenied) {
		e.Class, e.Remedy = consumers.Pause, "check the registry's user and password"
	}
	return e
}
