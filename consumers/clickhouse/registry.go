package clickhouse

import (
	"errors"
	"fmt"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

func isUnknownSchema(err error) bool { return errors.Is(err, schemas.ErrUnknownSchema) }

// registryError is the error of a look-up that says nothing about the schema itself.
func registryError(id int, err error) error {
	err = faults.Recognize(fmt.Errorf("look up schema %d: %w", id, err))
	if _, known := faults.Known(err); known {
		return err
	}
	return &consumers.Error{Class: consumers.Retry, Err: err}
}
