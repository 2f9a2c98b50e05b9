package lake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

// Footers and page headers are structures of Thrift's compact protocol. Its decoder believes every length that it reads, so a few
// bytes can ask for gigabytes. measureThrift walks the same bytes first and allocates nothing.

// errShort says that a structure goes on after the bytes that are there.
var errShort = errors.New("the structure is cut short")

// Bytes that one element of a list costs in memory once it is decoded: schema elements and row groups are lists in the footer,
// column chunks lists within a list, and what lies deeper is small.
var elementBytes = [...]int64{256, 1024, 96}

const maxThriftDepth = 32

// measureThrift returns the length of the structure that b starts with. It fails when a length reaches past the end of b or when
// the decoded lists would take more than budget bytes.
func measureThrift(b []byte, budget int64) (int, error) {
	s := thriftScan{b: b, budget: budget}
	if err := s.structure(0, 0); err != nil {
		return 0, err
	}
	return s.at, nil
}

// decodeThrift decodes the structure that b starts with into v, within the budget, and returns its length.
func decodeThrift(b []byte, budget int64, v any) (int, error) {
	n, err := measureThrift(b, budget)
	if err != nil {
		return 0, err
	}
	var protocol thrift.CompactProtocol
	return n, thrift.NewDecoder(protocol.NewReaderFromBytes(slices.Clone(b[:n]))).Decode(v)
}

type thriftScan struct {
	b      []byte
	at     int
	budget int64
}

func (s *thriftScan) structure(depth, lists int) error {
	if depth > maxThriftDepth {
		return fmt.Errorf("structures nest more than %d deep", maxThriftDepth)
	}
	for {
		head, err := s.byte()
		if err != nil {
			return err
		}
		if head == 0 {
			return nil
		}
		if head>>4 == 0 {
			if _, err := s.varint(); err != nil { // the field's id
				return err
			}
		}
		if kind := head & 15; kind > 2 { // the two booleans are the head alone
			if err := s.value(kind, depth, lists); err != nil {
				return err
			}
		}
	}
}

func (s *thriftScan) value(kind byte, depth, lists int) error {
	switch kind {
	case 1, 2, 3:
		return s.skip(1)
	case 4, 5, 6:
		_, err := s.varint()
		return err
	case 7:
		return s.skip(8)
	case 8:
		n, err := s.varint()
		if err != nil {
			return err
		}
		return s.skip(n)
	case 9, 10:
		return s.list(depth, lists)
	case 11:
		return errors.New("it holds a map, which no Parquet structure does")
	case 12:
		return s.structure(depth+1, lists)
	case 13:
		return s.skip(16)
	}
	return fmt.Errorf("type %d is not one of Thrift's", kind)
}

func (s *thriftScan) list(depth, lists int) error {
	if depth > maxThriftDepth {
		return fmt.Errorf("structures nest more than %d deep", maxThriftDepth)
	}
	head, err := s.byte()
	if err != nil {
		return err
	}
	size := uint64(head >> 4)
	if size == 15 {
		if size, err = s.varint(); err != nil {
			return err
		}
	}
	if size > uint64(len(s.b)-s.at) { // an element is a byte at least
		return errShort
	}
	cost := int64(16)
	if head&15 == 12 {
		cost = elementBytes[min(lists, len(elementBytes)-1)]
	}
	if s.budget -= cost * int64(size); s.budget < 0 {
		return errors.New("its lists are longer than any sound file's")
	}
	for range size {
		if err := s.value(head&15, depth+1, lists+1); err != nil {
			return err
		}
	}
	return nil
}

func (s *thriftScan) byte() (byte, error) {
	if s.at >= len(s.b) {
		return 0, errShort
	}
	s.at++
	return s.b[s.at-1], nil
}

func (s *thriftScan) varint() (uint64, error) {
	v, n := binary.Uvarint(s.b[s.at:])
	switch {
	case n == 0:
		return 0, errShort
	case n < 0:
		return 0, errors.New("a number has more than 64 bits")
	}
	s.at += n
	return v, nil
}

func (s *thriftScan) skip(n uint64) error {
	if n > uint64(len(s.b)-s.at) {
		return errShort
	}
	s.at += int(n)
	return nil
}
