package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"adventureworks.example/extract/consumers"
)

func auditFindings() []consumers.Finding {
	return []consumers.Finding{
		{Topic: "aw.files.reviews", Partition: 0, Committed: 1200, Expected: 1150, Stored: 1149, Rejected: 1, Verdict: consumers.Complete},
		{Topic: "aw.files.reviews", Partition: 1, Committed: 9, Expected: -1, Stored: 8, Verdict: consumers.Uncounted},
	}
}

func TestWriteAudit(t *testing.T) {
	var b bytes.Buffer
	if err := writeAudit(&b, auditFindings(), nil, "text"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"aw.files.reviews          0      1,200     1,150   1,149         1        0      0  complete",
		"?       8         0        0      0  uncounted", "\nComplete: 2 partitions of 1 topics, 1,157 rows stored and 1 rejected, none missing, none twice.\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("without %q:\n%s", want, b.String())
		}
	}
	bad := append(auditFindings(),
		consumers.Finding{Topic: "aw.files.x", Committed: 9, Expected: 9, Stored: 5, Missing: 4, Lost: 1, MissingAt: []consumers.Range{{Start: 3, End: 6}}, Verdict: consumers.Holes},
		consumers.Finding{Topic: "aw.files.y", Committed: 9, Expected: 9, Stored: 10, Twice: 1, TwiceAt: []consumers.Range{{Start: 3, End: 4}}, Verdict: consumers.Twice})
	b.Reset()
	if err := writeAudit(&b, bad, nil, "text"); !errors.Is(err, errAnswerIsNo) {
		t.Errorf("a difference ends with %v", err)
	}
	for _, want := range []string{"missing 4 rows of aw.files.x/0 below offset 9, at 3-5", "1 rows of aw.files.y/0 are there twice, at 3", "extract audit --repair", "extract replay", "Kafka no longer has"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("without %q:\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := writeAudit(&b, bad, nil, "json"); !errors.Is(err, errAnswerIsNo) {
		t.Errorf("a difference ends with %v", err)
	}
	var got struct {
		Complete   bool
		Partitions []struct {
			Topic, Verdict, Text string
			Missing, Lost        int64
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got.Complete || len(got.Partitions) != 4 || got.Partitions[2].Missing != 4 || got.Partitions[2].Lost != 1 ||
		!strings.Contains(got.Partitions[2].Text, "missing 4 rows") || got.Partitions[0].Verdict != "complete" {
		t.Errorf("%+v: %v\n%s", got, err, b.String())
	}
}

func TestAuditOptionsOfTheConfiguration(t *testing.T) {
	asked := consumers.NewAudits()
	for text, want := range map[string]consumers.AuditOptions{
		"{}":                         {Asked: asked},
		"{every: 0s}":                {Every: -1, Asked: asked},
		"{every: 30s}":               {Every: 30e9, Asked: asked},
		"{every: 5m, repair: false}": {Every: 300e9, Only: true, Asked: asked},
		"{repair: true}":             {Asked: asked},
	} {
		var c AuditConfig
		if err := decodeYAML("audit", []byte(text), func(string) (string, bool) { return "", false }, &c); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := c.options(asked); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestAuditIsOnlyAskedWhereAConsumerRuns(t *testing.T) {
	p := &pipeline{audits: consumers.NewAudits()}
	a, err := openAdmin("127.0.0.1:0", false, newLiveStatus("aw"))
	if err != nil {
		t.Fatal(err)
	}
	a.serveAudits(p)
	go func() { _ = a.server.Serve(a.listener) }() // it ends with the test
	defer a.close(context.Background())
	if err := askAudit(t.Context(), a.address(), []string{"aw.files.x"}); err == nil || !strings.Contains(err.Error(), "no consumer runs in this process") {
		t.Errorf("asked where none runs: %v", err)
	}
	if res, err := http.Get("http://" + a.address() + "/audit"); err != nil || res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a GET changes nothing: %v %v", res, err)
	} else {
		res.Body.Close()
	}
}

// A partition that cannot be read to its end is named, and the answer is no, though all that can be read is stored.
func TestWriteAuditHeldBack(t *testing.T) {
	var b bytes.Buffer
	held := []consumers.HeldBack{{Topic: "aw.files.z", Partition: 2, From: 7, To: 9, ProducerID: 4, Outcome: consumers.Committed}}
	for _, format := range []string{"text", "json"} {
		b.Reset()
		if err := writeAudit(&b, auditFindings(), held, format); !errors.Is(err, errAnswerIsNo) || !strings.Contains(b.String(), "aw.files.z") {
			t.Errorf("a partition that is held back ends with %v:\n%s", err, b.String())
		}
	}
	held[0].Ended = true
	b.Reset()
	if err := writeAudit(&b, auditFindings(), held, "text"); err != nil || !strings.Contains(b.String(), "it is ended now, as committed") {
		t.Errorf("a partition that is held back no longer ends with %v:\n%s", err, b.String())
	}
}
