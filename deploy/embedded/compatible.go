package embedded

import "adventureworks.example/extract/schemas"

// schemasCompatible is the default of RegistryOptions.Compatible.
func schemasCompatible(old, next *schemas.Schema) error {
	return nil
}
