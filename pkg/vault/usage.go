package vault

import (
	"context"
	"slices"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/ident"
	"keyvend/pkg/usage"
)

// UsageReader reads what the ledger has counted.
type UsageReader interface {
	// UsageHours lists the counts of an integration from an hour on, shard by
	// shard, in any order.
	UsageHours(ctx context.Context, tenant, integrationID string, from time.Time) ([]*usage.Hour, error)
}

// Usage tells a tenant how much is asked of its integrations.
type Usage struct {
	Store UsageReader
	Clock ident.Clock
}

// HourCount is what was asked of an integration in one hour.
type HourCount struct {
	Start           time.Time
	Vended, Refused int
}

// Hours are the visit's integration's newest n hours, the present one first.
func (u *Usage) Hours(ctx context.Context, v *Visit, n int) ([]HourCount, error) {
	if v.Integration == nil {
		return nil, errUnknownSlug
	}
	present := u.Clock.Now().Truncate(time.Hour)
	rows, err := u.Store.UsageHours(ctx, v.Target.Tenant, v.Integration.ID, present.Add(-time.Duration(n-1)*time.Hour))
	if err != nil {
		return nil, err
	}
	hours := make([]HourCount, n)
	for i := range hours {
		hours[i].Start = present.Add(-time.Duration(i) * time.Hour)
	}
	for _, row := range rows {
		if i := int(present.Sub(row.Start) / time.Hour); i >= 0 && i < n {
			hours[i].Vended += row.Vended
			hours[i].Refused += row.Refused
		}
	}
	return hours, nil
}

// Reads are who read the key of the living account of that id lately, the newest
// first.
func (d *Directory) Reads(ctx context.Context, v *Visit, id string) ([]usage.Read, error) {
	a, err := d.Get(ctx, v, id)
	if err != nil {
		return nil, err
	}
	return d.readsOf(ctx, a.Account)
}

func (d *Directory) readsOf(ctx context.Context, a *account.Account) ([]usage.Read, error) {
	reads, err := d.Store.AccountReads(ctx, a.Tenant, a.ID)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(reads.List, func(a, b usage.Read) int { return b.LastAt.Compare(a.LastAt) })
	return reads.List, nil
}
