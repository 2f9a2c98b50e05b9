package schemas

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/singleflight"
)

// What a caller of the registry branches on.
var (
	// ErrUnknownSchema is returned for an id under which the registry has no Avro schema that can be read: the record that names it cannot be stored.
	ErrUnknownSchema = errors.New("unknown schema")
	// ErrRegistryUnavailable is returned while the registry does not answer or answers that it cannot now: trying again may help.
	ErrRegistryUnavailable = errors.New("schema registry unavailable")
	// ErrRegistryDenied is returned where the registry refuses the login or the right: a person must change something.
	ErrRegistryDenied = errors.New("schema registry denied access")
)

// RegistryConfig says where a schema registry is and how to talk to it. It speaks the HTTP interface of Confluent's registry, as Karapace, Apicurio and
// Redpanda do too.
type RegistryConfig struct {
	// URLs are the addresses of one registry, tried in order while one does not answer. A user and password in them are used, and never shown in an error.
	URLs           []string
	User, Password string
	Token          string        // a bearer token, in place of a user
	TLS            *tls.Config   // nil for the system's certificates
	Timeout        time.Duration // of one request; 10 s by default
}

// Registry registers schemas and looks them up, each once. It is safe for concurrent use.
type Registry struct {
	client *sr.Client
	http   *http.Client
	flight singleflight.Group

	mu         sync.RWMutex // guards the maps
	ids        map[registration]int
	schemas    map[int]*Schema
	unreadable map[int]error // ids whose schema is there and will never be readable
}

type registration struct{ subject, text string }

// OpenRegistry checks the configuration. It sends no request yet: the first one comes with the first schema.
func OpenRegistry(c RegistryConfig) (*Registry, error) {
	if len(c.URLs) == 0 {
		return nil, errors.New("open schema registry: no URL is configured")
	}
	urls := make([]string, 0, len(c.URLs))
	for _, text := range c.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("open schema registry: an address is not of the form http://host:port")
		}
		if u.User != nil && c.User == "" {
			c.User = u.User.Username()
			c.Password, _ = u.User.Password()
		}
		u.User = nil
		urls = append(urls, u.String())
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = c.TLS
	client := &http.Client{Timeout: c.Timeout, Transport: transport}
	opts := []sr.ClientOpt{sr.URLs(urls...), sr.HTTPClient(client), sr.UserAgent("extract")}
	if c.User != "" {
		opts = append(opts, sr.BasicAuth(c.User, c.Password))
	}
	if c.Token != "" {
		opts = append(opts, sr.BearerToken(c.Token))
	}
	cl, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("open schema registry: %w", err)
	}
	return &Registry{client: cl, http: client, ids: map[registration]int{}, schemas: map[int]*Schema{}, unreadable: map[int]error{}}, nil
}

// Close gives idle connections back.
func (r *Registry) Close() { r.http.CloseIdleConnections() }

// Register makes the schema the newest of the subject, unless it is among its versions already, and returns its id. A subject that is new is set to the
// compatibility BACKWARD. A schema that the registry refuses is an *IncompatibleError with the registry's message and, where they can be found, the
// reasons. Ids are remembered, so a schema that was registered before costs nothing and needs no registry.
func (r *Registry) Register(ctx context.Context, subject string, s *Schema) (int, error) {
	key := registration{subject, s.text}
	if id, ok := r.registered(key); ok {
		return id, nil
	}
	v, err := r.once(ctx, subject+"\x00"+s.text, func(ctx context.Context) (any, error) {
		if id, ok := r.registered(key); ok { // by a call that ended after we looked
			return id, nil
		}
		id, err := r.register(ctx, subject, s)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ids[key] = id
		return id, nil
	})
	if err != nil {
		return 0, fmt.Errorf("register schema of %s: %w", subject, err)
	}
	return v.(int), nil
}

func (r *Registry) registered(key registration) (int, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	id, ok := r.ids[key]
	return id, ok
}

func (r *Registry) register(ctx context.Context, subject string, s *Schema) (int, error) {
	versions, err := r.client.SubjectVersions(ctx, subject)
	if err != nil && codeOf(err) != sr.ErrSubjectNotFound.Code {
		return 0, classify(err)
	}
	if len(versions) == 0 {
		// Before the first version, so that a crash in between leaves nothing to repair.
		for _, result := range r.client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatBackward}, subject) {
			if result.Err != nil {
				return 0, fmt.Errorf("set compatibility: %w", classify(result.Err))
			}
		}
	}
	id, err := r.client.RegisterSchema(ctx, subject, sr.Schema{Schema: s.text}, -1, -1)
	if refused(err) {
		return 0, r.explain(ctx, subject, s, err)
	}
	if err != nil {
		return 0, classify(err)
	}
	return id, nil
}

// refused tells whether the registry turned the schema down itself.
func refused(err error) bool {
	var response *sr.ResponseError
	if !errors.As(err, &response) {
		return false
	}
	return response.StatusCode == http.StatusConflict || response.ErrorCode == sr.ErrInvalidSchema.Code
}

// explain adds our own reasons to the registry's refusal. They are a help: where they cannot be had, the registry's words must do.
func (r *Registry) explain(ctx context.Context, subject string, s *Schema, refusal error) error {
	out := &IncompatibleError{Subject: subject, Message: refusal.Error()}
	latest, err := r.client.SchemaByVersion(ctx, subject, -1)
	if err != nil {
		return out
	}
	old, err := Parse(latest.Schema.Schema)
	if err != nil {
		return out
	}
	var reasons *IncompatibleError
	if _, err := Compatible(old, s); errors.As(err, &reasons) {
		out.Reasons = reasons.Reasons
	}
	return out
}

// ByID returns the schema that was registered under an id. It is asked for once and remembered for ever, since an id never changes its meaning; so schemas that
// are known stay known while the registry is away.
func (r *Registry) ByID(ctx context.Context, id int) (*Schema, error) {
	if s, err := r.known(id); s != nil || err != nil {
		return s, err
	}
	v, err := r.once(ctx, fmt.Sprint(id), func(ctx context.Context) (any, error) { return r.fetch(ctx, id) })
	if err != nil {
		return nil, err
	}
	return v.(*Schema), nil
}

func (r *Registry) known(id int) (*Schema, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.schemas[id], r.unreadable[id]
}

func (r *Registry) fetch(ctx context.Context, id int) (*Schema, error) {
	if s, err := r.known(id); s != nil || err != nil { // by a call that ended after we looked
		return s, err
	}
	found, err := r.client.SchemaByID(ctx, id)
	if err != nil {
		if statusOf(err) == http.StatusNotFound {
			return nil, fmt.Errorf("look up schema %d: %w: the registry has none under this id", id, ErrUnknownSchema)
		}
		return nil, fmt.Errorf("look up schema %d: %w", id, classify(err))
	}
	s, err := parseRegistered(found)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.unreadable[id] = fmt.Errorf("look up schema %d: %w: %w", id, ErrUnknownSchema, err)
		return nil, r.unreadable[id]
	}
	r.schemas[id] = s
	return s, nil
}

func parseRegistered(found sr.Schema) (*Schema, error) {
	switch {
	case found.Type != sr.TypeAvro:
		return nil, fmt.Errorf("it is %s, not Avro", found.Type)
	case len(found.References) > 0:
		return nil, errors.New("it refers to other schemas, which is not supported")
	}
	return Parse(found.Schema)
}

// once lets one request serve all who ask for the same thing at the same time. The request outlives a caller that goes away, within its own timeout.
func (r *Registry) once(ctx context.Context, key string, f func(context.Context) (any, error)) (any, error) {
	done := r.flight.DoChan(key, func() (any, error) { return f(context.WithoutCancel(ctx)) })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-done:
		return result.Val, result.Err
	}
}

// classify says what an error of the registry asks for.
func classify(err error) error {
	switch status := statusOf(err); {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w: %w", ErrRegistryDenied, err)
	case status == 0 || status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return fmt.Errorf("%w: %w", ErrRegistryUnavailable, err)
	}
	return err
}

func statusOf(err error) int {
	var response *sr.ResponseError
	if errors.As(err, &response) {
		return response.StatusCode
	}
	return 0
}

func codeOf(err error) int {
	var response *sr.ResponseError
	if errors.As(err, &response) {
		return response.ErrorCode
	}
	return 0
}

// Subjects are the names that a topic's key and value schemas are registered under.
func Subjects(topic string) (key, value string) {
	return topic + "-key", topic + "-value"
}
