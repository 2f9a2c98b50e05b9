package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// login looks at the first packet of the native protocol, the client's hello, and asks over HTTP whether the server would take it.
type login struct {
	http string // host:port
}

// hello is what the packet says; see "Native protocol" in ClickHouse's documentation.
type hello struct {
	database, user, password string
}

const (
	clientHello     = 0
	serverException = 2
	largestHello    = 64 << 10
	loginTime       = 30 * time.Second
)

var (
	errShort    = errors.New("the packet goes on")
	errNotHello = errors.New("not a hello of the native protocol")
)

// check reads the hello and returns its bytes when the server may have them. A client that is refused gets the server's own words.
func (l *login) check(client net.Conn) ([]byte, error) {
	read, h, err := readHello(client)
	if err != nil {
		return nil, err
	}
	if (h.user == "" || h.user == "default") && h.password == "" && (h.database == "" || h.database == "default") {
		return read, nil // always there
	}
	refusal, err := l.ask(h)
	if err != nil || refusal == nil {
		return read, nil // the server will say itself what is wrong
	}
	_, err = client.Write(refusal)
	return nil, errors.Join(fmt.Errorf("the login of %s was refused", h.user), err)
}

func readHello(client io.Reader) (read []byte, h hello, err error) {
	read = make([]byte, 0, 512)
	for {
		if len(read) == cap(read) {
			if len(read) >= largestHello {
				return nil, h, errNotHello
			}
			read = append(make([]byte, 0, 2*cap(read)), read...)
		}
		n, err := client.Read(read[len(read):cap(read)])
		read = read[:len(read)+n]
		h, parseErr := parseHello(read)
		if parseErr == nil {
			return read, h, nil
		}
		if !errors.Is(parseErr, errShort) {
			return nil, h, parseErr
		}
		if err != nil {
			return nil, h, err
		}
	}
}

// parseHello takes the packet apart: its number, the client's name, three numbers of versions, database, user and password.
func parseHello(b []byte) (h hello, err error) {
	r := bytes.NewReader(b)
	number := func() (n uint64) {
		if err == nil {
			n, err = binary.ReadUvarint(r)
		}
		return n
	}
	text := func() string {
		n := number()
		if err != nil {
			return ""
		}
		if n > largestHello {
			err = errNotHello
			return ""
		}
		s := make([]byte, n)
		_, err = io.ReadFull(r, s)
		return string(s)
	}
	if kind := number(); err == nil && kind != clientHello {
		return h, errNotHello
	}
	text()
	number()
	number()
	number()
	h = hello{database: text(), user: text(), password: text()}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errShort
	}
	return h, err
}

// ask logs in over HTTP. It returns the packet of the refusal, or nil when the login is good.
func (l *login) ask(h hello) (refusal []byte, err error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+l.http+"/", strings.NewReader("SELECT 1"))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"User": h.user, "Key": h.password, "Database": h.database} {
		if value != "" {
			req.Header.Set("X-ClickHouse-"+name, value)
		}
	}
	client := http.Client{Timeout: loginTime, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, largestHello))
	if err != nil || res.StatusCode == http.StatusOK {
		return nil, err
	}
	code, err := strconv.Atoi(res.Header.Get("X-ClickHouse-Exception-Code"))
	if err != nil {
		return nil, err
	}
	return exceptionPacket(code, string(text)), nil
}

// exceptionPacket is what a server sends for an error: code, name, message, stack trace, and no cause.
func exceptionPacket(code int, message string) []byte {
	message = strings.TrimSpace(strings.TrimPrefix(message, fmt.Sprintf("Code: %d. ", code)))
	b := []byte{serverException}
	b = binary.LittleEndian.AppendUint32(b, uint32(int32(code)))
	for _, s := range []string{"DB::Exception", message, ""} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return append(b, 0)
}
