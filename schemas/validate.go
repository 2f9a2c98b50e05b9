package schemas

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/linkedin/goavro/v2"
)

// check asks goavro, which panics on some texts.
func check(text string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("goavro: %v", r)
		}
	}()
	_, err = goavro.NewCodec(text)
	return err
}

// maxNodes bounds a schema with its named types written out at each place, since every place becomes a column.
const maxNodes = 100_000

// size counts the types of t, a shared one as often as it is used. known holds those that are counted; past the bound it counts no more.
func size(t *Type, known map[*Type]int) int {
	if n, ok := known[t]; ok {
		return n
	}
	n := 1
	if t.Items != nil {
		n += size(t.Items, known)
	}
	for _, f := range t.Fields {
		n += size(f.Type, known)
	}
	for _, b := range t.Branches {
		n += size(b, known)
	}
	n = min(n, maxNodes+1)
	known[t] = n
	return n
}

// validate looks for what the specification forbids and goavro takes.
func validate(t *Type, seen map[*Type]bool) error {
	if seen[t] {
		return nil
	}
	seen[t] = true
	if err := validateNode(t); err != nil {
		return err
	}
	for _, b := range t.Branches {
		if err := validate(b, seen); err != nil {
			return err
		}
	}
	for _, f := range t.Fields {
		if err := validate(f.Type, seen); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	if t.Items != nil {
		return validate(t.Items, seen)
	}
	return nil
}

func validateNode(t *Type) error {
	switch {
	case t.Kind == Union && slices.ContainsFunc(t.Branches, func(b *Type) bool { return b.Kind == Union }):
		return errors.New("a union stands directly in a union")
	case t.Kind == Enum:
		seen := make(map[string]bool, len(t.Symbols))
		for _, s := range t.Symbols {
			if seen[s] {
				return fmt.Errorf("enum %s has the symbol %s twice", t.Name, s)
			}
			seen[s] = true
		}
		if t.Default != "" && !seen[t.Default] {
			return fmt.Errorf("the default %s of enum %s is none of its symbols", t.Default, t.Name)
		}
	case t.Logical == Decimal && t.Kind == Fixed && t.Precision > fixedDigits(t.Size):
		return fmt.Errorf("decimal %s of %d digits does not fit in %d bytes, which hold %d", t.Name, t.Precision, t.Size, fixedDigits(t.Size))
	}
	return nil
}

// fixedDigits is how many digits every decimal of a fixed may have: those of 2^(8 size - 1) - 1, less one, since not all numbers of as many digits fit.
func fixedDigits(size int) int {
	if size < 1 {
		return 0
	}
	most := new(big.Int).Lsh(big.NewInt(1), uint(8*min(size, 1<<16)-1))
	return len(most.Sub(most, big.NewInt(1)).String()) - 1
}
