package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"adventureworks.example/extract/schemas"
)

// Compatible returns nil when readers with the schema next can read what was written with the schema old; otherwise the error says what they cannot.
type Compatible func(old, next *schemas.Schema) error

// RegistryOptions say how the registry is started.
type RegistryOptions struct {
	// Port asks for a port; LastPort is taken when it is free.
	Port, LastPort int
	// Topic keeps the registrations; empty for _schemas.
	Topic string
	// Compatible decides on a new schema of a subject; nil for schemas.Compatible.
	Compatible Compatible
}

// Registry is a schema registry in this process. It answers a registration, a deletion or a change of a compatibility level after the topic
// has taken it, and reads the topic when it starts: what was answered is there for ever, under the same id.
type Registry struct {
	brokers    []string
	topic      string
	compatible Compatible
	client     *kgo.Client
	listener   net.Listener
	server     *http.Server
	served     chan struct{} // closed when server has stopped serving and serveErr is set
	serveErr   error
	mux        *http.ServeMux

	// mu is held for reading by requests that only read and for writing by those that change something, from before the change until
	// the topic has it or the change is undone: nobody sees what is not kept.
	mu    sync.RWMutex
	fake  *srfake.Registry
	saved map[savedVersion]bool // what the topic has
	stale bool                  // whether fake may have something that the topic does not have, or lack something that it has
}

type savedVersion struct {
	subject string
	version int
}

const contentType = "application/vnd.schemaregistry.v1+json"

// StartRegistry reads the registrations from Kafka and serves them.
func StartRegistry(ctx context.Context, brokers []string, o RegistryOptions) (*Registry, error) {
	r := &Registry{brokers: brokers, topic: o.Topic, compatible: o.Compatible, served: make(chan struct{})}
	if r.topic == "" {
		r.topic = "_schemas"
	}
	if r.compatible == nil {
		r.compatible = schemasCompatible
	}
	if err := r.open(ctx, o); err != nil {
		if r.client != nil {
			r.client.Close()
		}
		return nil, fmt.Errorf("start schema registry: %w", err)
	}
	return r, nil
}

func (r *Registry) open(ctx context.Context, o RegistryOptions) (err error) {
	r.client, err = kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.DefaultProduceTopic(r.topic), kgo.RecordDeliveryTimeout(10*time.Second),
		kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	if err := r.makeTopic(ctx); err != nil {
		return err
	}
	if err := r.load(ctx); err != nil {
		return err
	}
	if r.listener, err = listen(o.Port, o.LastPort); err != nil {
		return err
	}
	r.route()
	r.server = &http.Server{Handler: r.mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() {
		r.serveErr = r.server.Serve(r.listener)
		close(r.served)
	}()
	return nil
}

// URL is the address of the registry, http://host:port.
func (r *Registry) URL() string { return "http://" + r.listener.Addr().String() }

// Stop finishes the requests under way and stops serving. Once stopped, it does nothing.
func (r *Registry) Stop(ctx context.Context) error {
	err := r.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, r.server.Close())
	}
	<-r.served
	if !errors.Is(r.serveErr, http.ErrServerClosed) {
		err = errors.Join(err, r.serveErr)
	}
	r.client.Close()
	return err
}

// route gives what changes something to ours and the rest to srfake's handler.
func (r *Registry) route() {
	r.mux = http.NewServeMux()
	r.mux.HandleFunc("/", r.read)
	r.mux.HandleFunc("POST /subjects/{subject}/versions", r.register)
	r.mux.HandleFunc("POST /compatibility/subjects/{subject}/versions/{version}", r.check)
	r.mux.HandleFunc("POST /compatibility/subjects/{subject}/versions", r.check)
	r.mux.HandleFunc("DELETE /subjects/{subject}", r.change(subjectDeleted))
	r.mux.HandleFunc("DELETE /subjects/{subject}/versions/{version}", r.change(versionDeleted))
	r.mux.HandleFunc("PUT /config", r.change(configured))
	r.mux.HandleFunc("PUT /config/{subject}", r.change(configured))
	r.mux.HandleFunc("DELETE /config/{subject}", r.change(configured))
	for _, unkept := range []string{"PUT /mode", "PUT /mode/{subject}", "DELETE /mode", "DELETE /mode/{subject}", "/contexts/"} {
		r.mux.HandleFunc(unkept, func(w http.ResponseWriter, req *http.Request) {
			refuse(w, http.StatusMethodNotAllowed, http.StatusMethodNotAllowed, "the embedded registry has neither modes nor contexts")
		})
	}
}

func (r *Registry) read(w http.ResponseWriter, req *http.Request) {
	r.mu.RLock()
	stale := r.stale
	if !stale {
		defer r.mu.RUnlock()
		r.fake.Handler().ServeHTTP(w, req)
		return
	}
	r.mu.RUnlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refresh(w, req) {
		r.fake.Handler().ServeHTTP(w, req)
	}
}

// refresh reads the topic again when a write has failed, for it may have happened all the same. The caller holds mu for writing.
func (r *Registry) refresh(w http.ResponseWriter, req *http.Request) bool {
	if !r.stale {
		return true
	}
	if err := r.load(req.Context()); err != nil {
		refuse(w, http.StatusInternalServerError, sr.ErrStoreError.Code, "read the registrations again: "+err.Error())
		return false
	}
	return true
}

func (r *Registry) register(w http.ResponseWriter, req *http.Request) {
	subject := req.PathValue("subject")
	schema, ok := decodeSchema(w, req)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.refresh(w, req) {
		return
	}
	if !r.known(subject, schema) {
		if messages := r.incompatible(subject, "", schema); len(messages) > 0 {
			refuse(w, http.StatusConflict, sr.ErrIncompatibleSchema.Code,
				"schema being registered is incompatible with an earlier schema for subject "+strconv.Quote(subject)+": "+strings.Join(messages, "; "))
			return
		}
	}
	id, version, err := r.fake.RegisterSchema(subject, schema)
	if err != nil { // srfake's handler renders its own errors
		body, _ := json.Marshal(schema) // it was just decoded
		answer := r.call(http.MethodPost, req.URL.EscapedPath(), string(body))
		copyAnswer(w, answer)
		return
	}
	at := savedVersion{subject, version}
	if !r.saved[at] {
		if err := r.save(req.Context(), schemaRecord(subject, version, id, schema)); err != nil {
			refuse(w, http.StatusInternalServerError, sr.ErrStoreError.Code, err.Error())
			return
		}
		r.saved[at] = true
	}
	respond(w, http.StatusOK, map[string]int{"id": id})
}

// known tells whether the subject has the schema already.
func (r *Registry) known(subject string, schema sr.Schema) bool {
	body, err := json.Marshal(schema)
	return err == nil && r.call(http.MethodPost, "/subjects/"+url.PathEscape(subject), string(body)).Code == http.StatusOK
}

func (r *Registry) check(w http.ResponseWriter, req *http.Request) {
	subject, version := req.PathValue("subject"), req.PathValue("version")
	schema, ok := decodeSchema(w, req)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.refresh(w, req) {
		return
	}
	if version != "" {
		if answer := r.call(http.MethodGet, "/subjects/"+url.PathEscape(subject)+"/versions/"+url.PathEscape(version), ""); answer.Code != http.StatusOK {
			copyAnswer(w, answer)
			return
		}
	}
	messages := r.incompatible(subject, version, schema)
	answer := map[string]any{"is_compatible": len(messages) == 0}
	if req.URL.Query().Get("verbose") == "true" {
		answer["messages"] = messages
	}
	respond(w, http.StatusOK, answer)
}

// change lets srfake make a change, and keeps it by the record that says so.
func (r *Registry) change(record func(*http.Request, []byte) *kgo.Record) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.refresh(w, req) {
			return
		}
		answer := httptest.NewRecorder()
		r.fake.Handler().ServeHTTP(answer, req)
		if answer.Code == http.StatusOK {
			if err := r.save(req.Context(), record(req, answer.Body.Bytes())); err != nil {
				refuse(w, http.StatusInternalServerError, sr.ErrStoreError.Code, err.Error())
				return
			}
		}
		copyAnswer(w, answer)
	}
}

// call asks srfake's handler.
func (r *Registry) call(method, path, body string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	req, err := http.NewRequest(method, path, strings.NewReader(body))
	if err != nil {
		answer.Code = http.StatusBadRequest
		return answer
	}
	r.fake.Handler().ServeHTTP(answer, req)
	return answer
}

func decodeSchema(w http.ResponseWriter, req *http.Request) (s sr.Schema, ok bool) {
	if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, 1<<20)).Decode(&s); err != nil {
		refuse(w, http.StatusUnprocessableEntity, sr.ErrInvalidSchema.Code, "read schema: "+err.Error())
		return s, false
	}
	return s, true
}

func copyAnswer(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // to a client that has gone
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	respond(w, status, map[string]any{"error_code": code, "message": message})
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // to a client that has gone
}
