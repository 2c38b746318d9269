package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestHealthLooksForNothing asks for the health of a server whose search for a model does not return, like a search on
// a disk that does not answer. The reply must come at once, and must not start a search.
func TestHealthLooksForNothing(t *testing.T) {
	var searches atomic.Int32
	hung := make(chan struct{})
	s, err := New(Options{Token: testToken, Open: func(ctx context.Context) (Model, error) {
		searches.Add(1)
		select {
		case <-hung:
			return Model{}, errors.New("nothing here")
		case <-ctx.Done():
			return Model{}, context.Cause(ctx)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	handler := s.Handler()
	ask := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		return w.Code
	}
	const asked = 1000
	quick := func(state string, want int) {
		t.Helper()
		start := time.Now()
		for range asked {
			if status := ask(); status != want {
				t.Fatalf("%s: status %d, want %d", state, status, want)
			}
		}
		each := time.Since(start) / asked
		t.Logf("%s: %v each", state, each)
		if each > 5*time.Millisecond { // a search takes hundreds of milliseconds
			t.Errorf("%s: %v each, want some microseconds", state, each)
		}
	}
	quick("nothing was opened yet", http.StatusServiceUnavailable)
	if n := searches.Load(); n != 0 {
		t.Fatalf("%d searches because of health checks", n)
	}
	// If a client leaves while its request waits for the search, the search goes on for the other requests.
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := s.openModel(ctx)
		left <- err
	}()
	for searches.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	quick("a search is under way", http.StatusServiceUnavailable)
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that left got %v", err)
	}
	close(hung)
	if _, err := s.openModel(t.Context()); err == nil {
		t.Error("there is a model although none was installed")
	}
	quick("there is none", http.StatusServiceUnavailable)
	if n := searches.Load(); n != 1 {
		t.Errorf("%d searches, want the one that a client waited for", n)
	}
}

// TestServerFindsModelByItself starts a server without a model. Its health must become good when there is a model, even
// if no client asks for a picture.
func TestServerFindsModelByItself(t *testing.T) {
	var ready atomic.Bool
	asked := make(chan struct{}, 100)
	s := start(t, nil, func(o *Options, l *limits) {
		l.reopen = 10 * time.Millisecond
		o.Open = func(context.Context) (Model, error) {
			defer func() { asked <- struct{}{} }()
			if ready.Load() {
				return Model{Engine: &fakeEngine{}}, nil
			}
			return Model{}, errors.New("none yet")
		}
	})
	<-asked // the server asks at its start
	ready.Store(true)
	s.mu.Lock()
	s.lastOpen = time.Time{}
	s.mu.Unlock()
	<-asked
	deadline := time.Now().Add(10 * time.Second)
	for s.get(t, "/healthz").status != http.StatusOK {
		time.Sleep(5 * time.Millisecond)
		if time.Now().After(deadline) {
			t.Fatal("the health did not become good")
		}
	}
}
