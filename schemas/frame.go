package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// FrameSize is the number of bytes before the Avro payload in the schema registry's wire format: a zero byte and the schema's
// id as four bytes, big endian.
const FrameSize = 5

// ErrFrame is returned for bytes that are not in the schema registry's wire format.
var ErrFrame = errors.New("not in the schema registry's wire format")

// AppendFrame appends the head of the schema registry's wire format; the payload follows.
func AppendFrame(dst []byte, id int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(id))
}

// ParseFrame splits a framed value into the schema's id and the Avro payload, which shares b's memory.
func ParseFrame(b []byte) (id int, payload []byte, err error) {
	if len(b) < FrameSize {
		return 0, nil, fmt.Errorf("%w: %d bytes, the head alone needs %d", ErrFrame, len(b), FrameSize)
	}
	if b[0] != 0 {
		return 0, nil, fmt.Errorf("%w: first byte is 0x%02x, not 0x00", ErrFrame, b[0])
	}
	return int(binary.BigEndian.Uint32(b[1:])), b[FrameSize:], nil
}
