package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
)

// lookAgain is how long after a repair was asked for it is looked for.
const lookAgain = time.Second

// repair has what is missing fetched and what is there twice removed, and returns what is found when all is well or nothing more can be done.
func (r *auditor) repair(ctx context.Context, all []consumers.Finding) ([]consumers.Finding, error) {
	deadline := time.Now().Add(r.o.wait)
	var own ownConsumer
	defer own.stop()
	for {
		if err := r.removeTwice(ctx, all); err != nil {
			return nil, err
		}
		if topics := fetchable(all); len(topics) > 0 {
			if err := r.fetch(ctx, topics, &own); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lookAgain):
		}
		var err error
		if all, err = r.look(ctx); err != nil {
			return nil, err
		}
		if (len(fetchable(all)) == 0 && !slices.ContainsFunc(all, removable)) || time.Now().After(deadline) {
			return all, own.stop()
		}
		missing, twice := int64(0), int64(0)
		for _, f := range all {
			missing, twice = missing+f.Missing-f.Lost, twice+f.Twice
		}
		fmt.Fprintf(r.progress, "%s rows are missing, %s are there twice\n", thousands(missing), thousands(twice))
	}
}

// fetchable are the topics of which something is missing that Kafka has.
func fetchable(all []consumers.Finding) []string {
	var topics []string
	for _, f := range all {
		if (f.Missing > f.Lost || f.Again) && !slices.Contains(topics, f.Topic) {
			topics = append(topics, f.Topic)
		}
	}
	return topics
}

func removable(f consumers.Finding) bool { return len(f.TwiceAt) > 0 }

// removeTwice removes the rows that are there twice.
func (r *auditor) removeTwice(ctx context.Context, all []consumers.Finding) error {
	byTopic := map[string][]consumers.Finding{}
	for _, f := range all {
		if removable(f) {
			byTopic[f.Topic] = append(byTopic[f.Topic], f)
		}
	}
	for topic, found := range byTopic {
		fmt.Fprintf(r.progress, "removing the rows of %s that are there twice\n", topic)
		if _, err := r.sink.RemoveTwice(ctx, topic, found); err != nil {
			return err
		}
	}
	return nil
}

// fetch asks whoever has the partitions to fetch what is missing from Kafka: the group's members, or a consumer of this command's own where there are none.
func (r *auditor) fetch(ctx context.Context, topics []string, own *ownConsumer) error {
	if own.running() {
		return own.ask(ctx, topics)
	}
	members, err := r.members(ctx)
	if err != nil {
		return err
	}
	if len(members) == 0 {
		fmt.Fprintf(r.progress, "no consumer runs: fetching what is missing\n")
		own.start(ctx, r.pipeline)
		return own.ask(ctx, topics)
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.wait)
	defer cancel()
	if err := askAudit(ctx, r.c.Admin.Listen, topics); err != nil {
		fmt.Fprintf(r.progress, "no consumer answers at %s (%v): its members %v repair their partitions at their next audit\n", r.c.Admin.Listen, err, members)
	}
	return nil
}

// members are where the members of the consumer group run.
func (r *auditor) members(ctx context.Context) ([]string, error) {
	cl, err := kgo.NewClient(r.kafka...)
	if err != nil {
		return nil, fmt.Errorf("connect to kafka: %w", err)
	}
	defer cl.Close()
	group := consumers.DefaultGroup(r.c.Prefix)
	described, err := kadm.NewClient(cl).DescribeGroups(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	var hosts []string
	for _, m := range described[group].Members {
		hosts = append(hosts, m.ClientHost)
	}
	return hosts, nil
}

// ownConsumer is a consumer that lives as long as a repair.
type ownConsumer struct {
	audits *consumers.Audits
	cancel context.CancelFunc
	ended  chan error
}

func (o *ownConsumer) running() bool { return o.cancel != nil }

func (o *ownConsumer) start(ctx context.Context, p *pipeline) {
	o.audits, o.ended = consumers.NewAudits(), make(chan error, 1)
	ctx, o.cancel = context.WithCancel(ctx)
	options := p.consumerOptions()
	options.Audit = consumers.AuditOptions{Every: -1, Asked: o.audits}
	go func() { o.ended <- consumers.Run(ctx, options) }()
}

// ask asks for a repair, which ends with an error when the consumer has.
func (o *ownConsumer) ask(ctx context.Context, topics []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, err := o.audits.Ask(ctx, true, topics...)
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case err := <-o.ended:
		cancel()
		<-answered
		o.cancel()
		o.cancel = nil
		return errors.Join(errors.New("the consumer of this command has ended"), err)
	}
}

func (o *ownConsumer) stop() error {
	if o.cancel == nil {
		return nil
	}
	o.cancel()
	o.cancel = nil
	return <-o.ended
}
