package schemas

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// registryServer is franz-go's registry behind a handler that a test can put itself in front of.
type registryServer struct {
	fake     *srfake.Registry
	url      string
	requests atomic.Int64
	front    atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
	server   *httptest.Server
}

func startRegistry(t *testing.T) *registryServer {
	t.Helper()
	s := &registryServer{fake: srfake.NewRegistry()}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if f := s.front.Load(); f != nil && (*f)(w, r) {
			return
		}
		s.fake.Handler().ServeHTTP(w, r)
	}))
	s.url = s.server.URL
	t.Cleanup(s.server.Close)
	return s
}

func (s *registryServer) intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	if f == nil {
		s.front.Store(nil)
		return
	}
	s.front.Store(&f)
}

func answer(status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	}
}

func openRegistry(t *testing.T, c RegistryConfig) *Registry {
	t.Helper()
	r, err := OpenRegistry(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func product(t *testing.T, price *Type) *Schema {
	t.Helper()
	s, err := New(RecordOf("aw.Product", Field{Name: "id", Type: Primitive(Int)}, NullableField("price", price)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRegistryRegistersOnceAndFindsAgain(t *testing.T) {
	server := startRegistry(t)
	r := openRegistry(t, RegistryConfig{URLs: []string{server.url}})
	s := product(t, DecimalOf(19, 4))
	first, err := r.Register(t.Context(), "aw.sql.product-value", s)
	if err != nil {
		t.Fatal(err)
	}
	before := server.requests.Load()
	again, err := r.Register(t.Context(), "aw.sql.product-value", product(t, DecimalOf(19, 4)))
	if err != nil || again != first {
		t.Errorf("registered again: %d, %v, want %d", again, err, first)
	}
	if n := server.requests.Load() - before; n != 0 {
		t.Errorf("%d requests for a schema that is known", n)
	}
	if other, err := openRegistry(t, RegistryConfig{URLs: []string{server.url}}).Register(t.Context(), "aw.sql.product-value", s); err != nil || other != first {
		t.Errorf("another process got %d, %v, want %d", other, err, first)
	}

	found, err := r.ByID(t.Context(), first)
	if err != nil || found.String() != s.String() {
		t.Fatalf("found %v, %v", found, err)
	}
	same, err := r.ByID(t.Context(), first)
	if err != nil || same != found {
		t.Errorf("the second look-up gave another schema (%v)", err)
	}
}

func TestRegistrySetsCompatibilityOfNewSubjectsOnly(t *testing.T) {
	server := startRegistry(t)
	r := openRegistry(t, RegistryConfig{URLs: []string{server.url}})
	client, err := sr.NewClient(sr.URLs(server.url))
	if err != nil {
		t.Fatal(err)
	}
	level := func(subject string) sr.CompatibilityLevel {
		return client.Compatibility(t.Context(), subject)[0].Level
	}
	if _, err := client.CreateSchema(t.Context(), "theirs-value", sr.Schema{Schema: `"int"`}); err != nil {
		t.Fatal(err)
	}
	client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatNone}, "theirs-value")
	for subject, want := range map[string]sr.CompatibilityLevel{"ours-value": sr.CompatBackward, "theirs-value": sr.CompatNone} {
		if _, err := r.Register(t.Context(), subject, product(t, Primitive(Int))); err != nil {
			t.Fatal(err)
		}
		if got := level(subject); got != want {
			t.Errorf("%s has %s, want %s", subject, got, want)
		}
	}
}

func TestRegistryRefusalSaysWhy(t *testing.T) {
	server := startRegistry(t)
	r := openRegistry(t, RegistryConfig{URLs: []string{server.url}})
	if _, err := r.Register(t.Context(), "p-value", product(t, Primitive(Long))); err != nil {
		t.Fatal(err)
	}
	server.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		return q.Method == http.MethodPost && answer(409, `{"error_code":409,"message":"Schema being registered is incompatible"}`)(w, q)
	})
	_, err := r.Register(t.Context(), "p-value", product(t, Primitive(Int)))
	var refusal *IncompatibleError
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v, want an IncompatibleError", err)
	}
	if refusal.Subject != "p-value" || refusal.Message != "Schema being registered is incompatible" || len(refusal.Reasons) != 1 || refusal.Reasons[0].Path != "price" {
		t.Errorf("got %+v", refusal)
	}
	for _, word := range []string{"p-value", "price: long cannot become int", "the registry says: Schema being registered"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	server.intercept(nil)
	if _, err := r.Register(t.Context(), "p-value", product(t, Primitive(Int))); err != nil {
		t.Errorf("a refusal was remembered: %v", err)
	}
}

func TestRegistryUnknownAndUnreadableSchemas(t *testing.T) {
	server := startRegistry(t)
	r := openRegistry(t, RegistryConfig{URLs: []string{server.url}})
	if _, err := r.ByID(t.Context(), 77); !errors.Is(err, ErrUnknownSchema) || errors.Is(err, ErrRegistryUnavailable) {
		t.Errorf("unknown id: %v", err)
	}
	server.fake.SeedSchema("late-value", 1, 77, sr.Schema{Schema: `"long"`})
	if s, err := r.ByID(t.Context(), 77); err != nil || s.Root.Kind != Long {
		t.Errorf("an id that came later: %v, %v", s, err)
	}
	server.fake.SeedSchema("proto-value", 1, 78, sr.Schema{Schema: `syntax = "proto3";`, Type: sr.TypeProtobuf})
	if _, err := r.ByID(t.Context(), 78); !errors.Is(err, ErrUnknownSchema) || !strings.Contains(err.Error(), "not Avro") {
		t.Errorf("protobuf: %v", err)
	}
	before := server.requests.Load()
	if _, err := r.ByID(t.Context(), 78); !errors.Is(err, ErrUnknownSchema) || server.requests.Load() != before {
		t.Errorf("protobuf again: %v, %d requests", err, server.requests.Load()-before)
	}
}

func TestRegistryDownIsTransientAndKnownIdsGoOn(t *testing.T) {
	server := startRegistry(t)
	r := openRegistry(t, RegistryConfig{URLs: []string{server.url}})
	s := product(t, Primitive(Int))
	id, err := r.Register(t.Context(), "p-value", s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ByID(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{500, 503, 429} {
		server.intercept(answer(status, `{"error_code":50001,"message":"no leader"}`))
		if _, err := r.ByID(t.Context(), 1234); !errors.Is(err, ErrRegistryUnavailable) || errors.Is(err, ErrUnknownSchema) {
			t.Errorf("status %d, look-up: %v", status, err)
		}
		if _, err := r.Register(t.Context(), "q-value", s); !errors.Is(err, ErrRegistryUnavailable) {
			t.Errorf("status %d, registration: %v", status, err)
		}
	}
	server.server.Close()
	if _, err := r.ByID(t.Context(), 1234); !errors.Is(err, ErrRegistryUnavailable) {
		t.Errorf("closed, look-up: %v", err)
	}
	if _, err := r.Register(t.Context(), "q-value", s); !errors.Is(err, ErrRegistryUnavailable) {
		t.Errorf("closed, registration: %v", err)
	}
	if _, err := r.ByID(t.Context(), id); err != nil {
		t.Errorf("a known id: %v", err)
	}
	if got, err := r.Register(t.Context(), "p-value", s); err != nil || got != id {
		t.Errorf("a known schema: %d, %v", got, err)
	}
}

func TestRegistryFailedButHappenedRegistersOnce(t *testing.T) {
	server := startRegistry(t)
	r := openRegistry(t, RegistryConfig{URLs: []string{server.url}})
	server.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method != http.MethodPost {
			return false
		}
		server.fake.Handler().ServeHTTP(httptest.NewRecorder(), q) // it happens, and the answer is lost
		return answer(503, "")(w, q)
	})
	s := product(t, Primitive(Int))
	if _, err := r.Register(t.Context(), "p-value", s); !errors.Is(err, ErrRegistryUnavailable) {
		t.Fatalf("got %v", err)
	}
	server.intercept(nil)
	id, err := r.Register(t.Context(), "p-value", s)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := server.fake.GetSchema("p-value", 1); !ok || got.ID != id {
		t.Errorf("version 1 is %v %t, want id %d", got.ID, ok, id)
	}
	if _, ok := server.fake.GetSchema("p-value", 2); ok {
		t.Error("the schema was registered twice")
	}
}

func TestRegistryLogin(t *testing.T) {
	server := startRegistry(t)
	server.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		user, password, _ := q.BasicAuth()
		if user == "reader" && password == "s3cret" || q.Header.Get("Authorization") == "Bearer token" {
			return false
		}
		return answer(401, `{"error_code":401,"message":"Unauthorized"}`)(w, q)
	})
	host := strings.TrimPrefix(server.url, "http://")
	for name, c := range map[string]RegistryConfig{
		"in the configuration": {URLs: []string{server.url}, User: "reader", Password: "s3cret"},
		"in the address":       {URLs: []string{"http://reader:s3cret@" + host}},
		"by token":             {URLs: []string{server.url}, Token: "token"},
	} {
		if _, err := openRegistry(t, c).Register(t.Context(), "p-value", product(t, Primitive(Int))); err != nil {
			t.Errorf("login %s: %v", name, err)
		}
	}
	_, err := openRegistry(t, RegistryConfig{URLs: []string{"http://reader:wr0ng@" + host}}).Register(t.Context(), "p-value", product(t, Primitive(Int)))
	if !errors.Is(err, ErrRegistryDenied) || errors.Is(err, ErrRegistryUnavailable) {
		t.Errorf("wrong password: %v", err)
	}
	server.server.Close()
	_, err = openRegistry(t, RegistryConfig{URLs: []string{"http://reader:s3cret@" + host}}).ByID(t.Context(), 1)
	if !errors.Is(err, ErrRegistryUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("an error shows the password or is of another kind: %v", err)
	}
}

func TestRegistryTriesTheNextAddress(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	r := openRegistry(t, RegistryConfig{URLs: []string{gone.URL, startRegistry(t).url}})
	if _, err := r.Register(t.Context(), "p-value", product(t, Primitive(Int))); err != nil {
		t.Error(err)
	}
}

func TestRegistrySharesOneRequest(t *testing.T) {
	server := startRegistry(t)
	server.fake.SeedSchema("p-value", 1, 5, sr.Schema{Schema: `"long"`})
	entered, release := make(chan struct{}), make(chan struct{})
	server.intercept(func(http.ResponseWriter, *http.Request) bool {
		close(entered) // a second request would close it again and panic
		<-release
		return false
	})
	r := openRegistry(t, RegistryConfig{URLs: []string{server.url}})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := r.ByID(ctx, 5); first <- err }()
	<-entered
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) || errors.Is(err, ErrRegistryUnavailable) {
		t.Errorf("the caller that left got %v", err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := r.ByID(t.Context(), 5); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := server.requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestOpenRegistryRefusesAddresses(t *testing.T) {
	for _, urls := range [][]string{nil, {""}, {"localhost:8081"}, {"ftp://x"}, {"http://"}, {"http://u:pw@bad host"}} {
		_, err := OpenRegistry(RegistryConfig{URLs: urls})
		if err == nil {
			t.Errorf("%q was accepted", urls)
		} else if strings.Contains(err.Error(), "pw") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}
