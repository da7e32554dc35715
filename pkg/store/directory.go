package store

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"keyvend/pkg/account"
	"keyvend/pkg/table"
	"keyvend/pkg/tenant"
	"keyvend/pkg/vault"
)

// AccountsIn implements vault.DirectoryStore: one query per shard of the index,
// all at once, merged in the order of account ids.
func (s *Store) AccountsIn(ctx context.Context, tenant string, r vault.AccountRange) (page []*account.Account, next string, err error) {
	entries, next, err := s.merge(ctx, shardQueries(tenant, r))
	if err != nil {
		return nil, "", err
	}
	page, err = rowsAt(ctx, s, keysOf(entries, entry.at), asAccount)
	return inPlace(page, entries, r.Descending), next, err
}

// inPlace are the accounts of a page that stand where the index shows them, in its
// order. At another place it still shows one that was in the same row before.
func inPlace(page []*account.Account, entries []entry, descending bool) []*account.Account {
	shown := make(map[string]bool, len(entries))
	for _, e := range entries {
		shown[e.position] = true
	}
	page = slices.DeleteFunc(page, func(a *account.Account) bool { return a.ID != "" && !shown[a.ID] })
	slices.SortStableFunc(page, func(a, b *account.Account) int {
		if descending {
			a, b = b, a
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return page
}

func shardQueries(tenant string, r vault.AccountRange) []table.Query {
	queries := make([]table.Query, accountShards)
	for shard := range queries {
		q := table.Query{Index: idIndex, PK: accountIDPK(tenant, shard), After: r.After, Descending: r.Descending, Limit: r.Limit}
		if r.Integration != "" {
			q.Index, q.PK = listIndex, accountListingPK(tenant, r.Integration, shard)
		}
		queries[shard] = q
	}
	return queries
}

// entry is where an index has an item: sort key and item.
type entry struct {
	position string
	key      table.Key
}

func (e entry) at() table.Key { return e.key }

// merge runs queries over the parts of one listing, all with the same limit, and
// merges their pages to one of at most so many entries. next is where it ended before
// the listing did, "" at the end: no entry lies behind where the page that reached
// least far ended before its part did.
func (s *Store) merge(ctx context.Context, queries []table.Query) (entries []entry, next string, err error) {
	pages := make([]table.Page, len(queries))
	errs := make([]error, len(queries))
	var wait sync.WaitGroup
	for i, q := range queries {
		wait.Go(func() { pages[i], errs[i] = s.query(ctx, q) })
	}
	wait.Wait()
	direction := 1
	if queries[0].Descending {
		direction = -1
	}
	order := func(a, b string) int { return direction * cmp.Compare(a, b) }
	for i, page := range pages {
		if errs[i] != nil {
			return nil, "", errs[i]
		}
		for _, item := range page.Items {
			entries = append(entries, entry{item.Index[queries[i].Index].SK, item.Key})
		}
		if page.After != "" && (next == "" || order(page.After, next) < 0) {
			next = page.After
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return order(a.position, b.position) })
	entries = slices.Compact(entries) // one that moves from part to part
	if next != "" {
		entries = slices.DeleteFunc(entries, func(e entry) bool { return order(e.position, next) > 0 })
	}
	if limit := queries[0].Limit; len(entries) > limit {
		entries, next = entries[:limit], entries[limit-1].position
	}
	return entries, next, nil
}

// Organizations implements vault.DirectoryStore.
func (s *Store) Organizations(ctx context.Context, tenantID string, ids []string) (map[string]tenant.Organization, error) {
	at := func(id string) table.Key { return organizationKey(tenantID, id) }
	items, err := s.getAll(ctx, keysOf(ids, at))
	if err != nil {
		return nil, err
	}
	found := map[string]tenant.Organization{}
	for _, id := range ids {
		if o, err := decode(items, at(id), asOrganization); err == nil && o != nil {
			found[id] = *o
		}
	}
	return found, nil
}

// WhereIs implements vault.DirectoryStore.
func (s *Store) WhereIs(ctx context.Context, tenant, id string) (slug string, owner account.Owner, err error) {
	q := table.Query{Index: idIndex, PK: accountIDPK(tenant, shardOf(id, accountShards)), Prefix: id, Limit: 1}
	for {
		page, err := s.query(ctx, q)
		switch {
		case err != nil:
			return "", owner, err
		case len(page.Items) > 0:
			_, slug, owner, err = parseAccountKey(page.Items[0].Key)
			return slug, owner, err
		case page.After == "":
			return "", owner, nil
		}
		q.After = page.After // an empty page does not end the range
	}
}
