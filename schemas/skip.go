package schemas

// skip passes over one value of t and returns where it ends.
func skip(t *Type, b []byte, p int) (int, error) {
	var v int64
	switch t.Kind {
	case Null:
		return p, nil
	case Boolean:
		if p < len(b) && b[p] > 1 {
			return p, errBool
		}
		return skipBytes(b, p, 1)
	case Float:
		return skipBytes(b, p, 4)
	case Double:
		return skipBytes(b, p, 8)
	case Fixed:
		return skipBytes(b, p, int64(t.Size))
	case Array, Map:
		return skipBlocks(t, b, p)
	case Record:
		for i := range t.Fields {
			var err error
			if p, err = skip(t.Fields[i].Type, b, p); err != nil {
				return p, err
			}
		}
		return p, nil
	}
	v, next := readLong(b, p)
	if next < 0 {
		return p, errOf(next)
	}
	switch t.Kind {
	case Int:
		if v != int64(int32(v)) {
			return p, errIntRange
		}
	case Bytes, String:
		return skipBytes(b, next, v)
	case Enum:
		if uint64(v) >= uint64(len(t.Symbols)) {
			return p, errSymbol
		}
	case Union:
		if uint64(v) >= uint64(len(t.Branches)) {
			return p, errBranch
		}
		return skip(t.Branches[v], b, next)
	}
	return next, nil
}

func skipBytes(b []byte, p int, n int64) (int, error) {
	if uint64(n) > uint64(len(b)-p) {
		return p, errLength
	}
	return p + int(n), nil
}

func skipBlocks(t *Type, b []byte, p int) (int, error) {
	minimum := minimumBytes(t.Items)
	if t.Kind == Map {
		minimum++
	}
	for room := int64(maxEmptyItems); ; {
		count, end, next, err := readBlock(b, p, minimum, room)
		if err != nil {
			return p, err
		}
		room -= count
		if p = next; count == 0 {
			return p, nil
		}
		for range count {
			if t.Kind == Map {
				if p, err = skip(&stringType, b, p); err != nil {
					return p, err
				}
			}
			if p, err = skip(t.Items, b, p); err != nil {
				return p, err
			}
		}
		if end >= 0 && p != end {
			return p, errBlockSize
		}
	}
}

var stringType = Type{Kind: String}

// minimumBytes is what a value of t takes at least.
func minimumBytes(t *Type) int {
	switch t.Kind {
	case Null:
		return 0
	case Float:
		return 4
	case Double:
		return 8
	case Fixed:
		return t.Size
	case Record:
		n := 0
		for _, f := range t.Fields {
			n += minimumBytes(f.Type)
		}
		return n
	}
	return 1
}
