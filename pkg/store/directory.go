package store

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"keyvend/pkg/account"
	"keyvend/pkg/table"
	"keyvend/pkg/vault"
)

// AccountsIn implements vault.DirectoryStore: one query per shard of the index,
// all at once, merged in the order of account ids.
func (s *Store) AccountsIn(ctx context.Context, tenant string, r vault.AccountRange) (page []*account.Account, next string, err error) {
	entries, next, err := s.merge(ctx, shardQueries(tenant, r))
	if err != nil {
		return nil, "", err
	}
	if len(entries) > r.Limit {
		entries = entries[:r.Limit]
		next = entries[r.Limit-1].position
	}
	keys := make([]table.Key, len(entries))
	for i, e := range entries {
		keys[i] = e.key
	}
	page, err = rowsAt(ctx, s, keys, asAccount)
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

// merge runs queries over shards of one listing and merges the pages, up to the
// horizon: where the page that reached least far ended before its shard did, ""
// when all of them reached the end.
func (s *Store) merge(ctx context.Context, queries []table.Query) (entries []entry, horizon string, err error) {
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
		if page.After != "" && (horizon == "" || order(page.After, horizon) < 0) {
			horizon = page.After
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return order(a.position, b.position) })
	if horizon != "" {
		entries = slices.DeleteFunc(entries, func(e entry) bool { return order(e.position, horizon) > 0 })
	}
	return entries, horizon, nil
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
