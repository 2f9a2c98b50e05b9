package schemas

import (
	"errors"
	"net/http"
	"testing"
)

func TestRegistryFindsTheNewestSchema(t *testing.T) {
	srv := startRegistry(t)
	r := openRegistry(t, RegistryConfig{URLs: []string{srv.url}})
	if s, err := r.Newest(t.Context(), "nobody-value"); s != nil || err != nil {
		t.Errorf("the newest schema of a subject that is not there is %v: %v", s, err)
	}
	first, second := product(t, Primitive(Int)), product(t, Primitive(Long))
	for _, s := range []*Schema{first, second} {
		if _, err := r.Register(t.Context(), "product-value", s); err != nil {
			t.Fatal(err)
		}
		if newest, err := r.Newest(t.Context(), "product-value"); err != nil || newest.String() != s.String() {
			t.Errorf("the newest schema is %v: %v, want %s", newest, err, s)
		}
	}
	srv.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if _, err := r.Newest(t.Context(), "product-value"); !errors.Is(err, ErrRegistryUnavailable) {
		t.Errorf("the error of a registry that is away is %v", err)
	}
}
