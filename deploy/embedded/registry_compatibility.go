package embedded

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

	"adventureworks.example/extract/schemas"
)

// incompatible says why a schema may not follow the subject's, as its compatibility level asks: nothing when it may. With a version only that
// one counts; with none, the last or, for a transitive level, all. The caller holds mu.
func (r *Registry) incompatible(subject, version string, next sr.Schema) []string {
	level := r.level(subject)
	if level == sr.CompatNone || next.Type != sr.TypeAvro || len(next.References) > 0 {
		return nil
	}
	new, err := schemas.Parse(next.Schema)
	if err != nil {
		return []string{err.Error()}
	}
	var messages []string
	for _, v := range r.counting(subject, version, level) {
		old, err := schemas.Parse(v.Schema.Schema)
		if err != nil {
			continue // not Avro, or not Avro that we read: nothing to compare with
		}
		if level != sr.CompatForward && level != sr.CompatForwardTransitive {
			if err := r.compatible(old, new); err != nil {
				messages = append(messages, fmt.Sprintf("version %d cannot be read with it: %v", v.Version, err))
			}
		}
		if level != sr.CompatBackward && level != sr.CompatBackwardTransitive {
			if err := r.compatible(new, old); err != nil {
				messages = append(messages, fmt.Sprintf("it cannot be read with version %d: %v", v.Version, err))
			}
		}
	}
	return messages
}

func (r *Registry) level(subject string) sr.CompatibilityLevel {
	var answer struct {
		Level sr.CompatibilityLevel `json:"compatibilityLevel"`
	}
	body := r.call(http.MethodGet, "/config/"+url.PathEscape(subject), "")
	if body.Code != http.StatusOK || json.Unmarshal(body.Body.Bytes(), &answer) != nil {
		return sr.CompatBackward
	}
	return answer.Level
}

// counting are the versions that a new schema is compared with.
func (r *Registry) counting(subject, version string, level sr.CompatibilityLevel) []sr.SubjectSchema {
	var numbers []int
	answer := r.call(http.MethodGet, "/subjects/"+url.PathEscape(subject)+"/versions", "")
	if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &numbers) != nil || len(numbers) == 0 {
		return nil
	}
	if n, err := strconv.Atoi(version); err == nil {
		numbers = []int{n}
	} else if version != "" || !strings.HasSuffix(level.String(), "_TRANSITIVE") {
		numbers = numbers[len(numbers)-1:]
	}
	var versions []sr.SubjectSchema
	for _, n := range numbers {
		if s, ok := r.fake.GetSchema(subject, n); ok {
			versions = append(versions, s)
		}
	}
	return versions
}

// schemasCompatible is the default of RegistryOptions.Compatible.
func schemasCompatible(old, next *schemas.Schema) error {
	_, err := schemas.Compatible(old, next)
	return err
}
