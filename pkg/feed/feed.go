// Package feed brings what a table's change feed delivers to the outbox: in AWS
// as the records of a Lambda event, on a laptop from the embedded table. A change
// that cannot be read is set aside and does not keep the others from theirs.
package feed

import (
	"context"
	"errors"
	"log/slog"

	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/vault"
)

// Publisher makes events of commits and returns those that have to be delivered
// again. *vault.Outbox is one.
type Publisher interface {
	Publish(ctx context.Context, commits []vault.Commit) (again []vault.Commit)
}

// Aside keeps what was set aside for an operator.
type Aside interface {
	SetAside(ctx context.Context, p Poison) error
}

// Poison names a change that cannot be read, and nothing of its content.
type Poison struct {
	ChangeID string `json:"change_id"`
	Sequence string `json:"sequence"` // its place in the feed
	PK       string `json:"pk,omitempty"`
	SK       string `json:"sk,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	Reason   string `json:"reason"`
}

// Outbox works through the changes that a feed delivers.
type Outbox struct {
	Publisher Publisher
	Commit    func(table.Change) (commit vault.Commit, ok bool, err error) // store.Commit
	Aside     Aside
	Log       *slog.Logger
}

// delivery is a change as it came; err says that it cannot be read.
type delivery struct {
	change   table.Change
	sequence string
	err      error
}

// work goes through deliveries and returns how many of them, from the first on,
// are done: the others have to come again, and what was done of them is not done
// twice.
func (o *Outbox) work(ctx context.Context, deliveries []delivery) (done int) {
	done = len(deliveries)
	var commits []vault.Commit
	place := map[string]int{} // of a change's first delivery
	for i, d := range deliveries {
		commit, ok, err := vault.Commit{}, false, d.err
		if err == nil {
			commit, ok, err = o.Commit(d.change)
		}
		if err != nil && o.setAside(ctx, d, err) != nil {
			done = min(done, i)
		}
		if ok {
			commits = append(commits, commit)
			if _, twice := place[commit.ChangeID]; !twice {
				place[commit.ChangeID] = i
			}
		}
	}
	for _, commit := range o.Publisher.Publish(ctx, commits) {
		done = min(done, place[commit.ChangeID])
	}
	return done
}

// setAside takes a change that cannot be read out of the way.
func (o *Outbox) setAside(ctx context.Context, d delivery, why error) error {
	p := Poison{ChangeID: d.change.ID, Sequence: d.sequence, PK: d.change.Key.PK, SK: d.change.Key.SK, Reason: why.Error()}
	var unread *store.PoisonError
	if errors.As(why, &unread) {
		p.Revision = unread.Revision
	}
	var undecoded *table.ChangeError
	if errors.As(why, &undecoded) {
		p.ChangeID, p.Sequence, p.PK, p.SK = undecoded.ID, undecoded.Sequence, undecoded.Key.PK, undecoded.Key.SK
	}
	o.Log.ErrorContext(ctx, "a change cannot be read and is set aside", "alarm", "poison",
		"change", p.ChangeID, "sequence", p.Sequence, "sk", p.SK, "revision", p.Revision, "error", p.Reason)
	err := o.Aside.SetAside(ctx, p)
	if err != nil {
		o.Log.ErrorContext(ctx, "it could not be set aside", "sequence", p.Sequence, "error", err)
	}
	return err
}
