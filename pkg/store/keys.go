// Package store is the only package that knows where things lie in the table:
// it turns what the vault speaks of into items of the storage port.
package store

import (
	"fmt"
	"hash/fnv"
	"net/url"
	"strconv"
	"strings"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/event"
	"keyvend/pkg/health"
	"keyvend/pkg/table"
)

// The access patterns, each with the key that serves it. The first letter of a
// partition key is what IAM can tell apart (dynamodb:LeadingKeys), in the table
// as in the index.
//
//	who reads                                    PK                      SK
//	every request: the tenant                    T#<tenant>              TENANT
//	every request: settings and freeze           F#<tenant>              SETTINGS
//	a cold vend: a version's wrapped seal blob   P#<tenant>              KEYPAIR#<version>
//	cold minting: the wrapped session blob       P#<tenant>              SESSION
//	every request: the API key                   K#<tenant>#<key id>     APIKEY
//	one integration; all of a tenant             I#<tenant>              INTEGRATION#<slug>
//	one account; all of a user                   U#<tenant>#<user>       ACCOUNT#<slug>#<org, or nothing>
//	who brings a key: when he was offboarded     D#<tenant>#<user>       USER
//	an organization's freeze                     O#<tenant>#<org>        ORG
//	an organization's switch of an integration   O#<tenant>#<org>        INTEGRATION#<slug>
//	the sweep: removal jobs                      J#<shard>               <job id>
//	a tenant's events of a UTC day (30 days)     E#<tenant>#<yyyy-mm-dd> <event id>
//	the feed only: a fact that changes no row    R#<tenant>#<user>       <event id>
//	what is known of an account's key            C#<tenant>#<user>       CHECK#<slug>#<org, or nothing>
//	how often a provider is asked, its trouble   S#PROVIDER#<provider>   PACE, ASKED, BREAKER
//	the trouble of a host that accounts name     S#PROVIDER#<provider>   BREAKER#<host>
//	how often keys were verified on saving       V#<tenant>              TENANT, USER#<user>#<integration id>
//	an account's last use (400 days)             L#<tenant>#<account id> USED
//	who read an account's key lately (90 days)   L#<tenant>#<account id> READS
//	an integration's counts by hour (90 days)    L#<tenant>#<integration id>   HOUR#<yyyy-mm-ddThh>#<shard>
//	a laptop's ledger: where the audit file ends L#AUDIT                 POSITION
//
//	index "list", sparse, keys only              PK                      SK
//	all tenants                                  T#TENANTS               <tenant id>
//	API keys of a tenant                         K#<tenant>              <key id>
//	accounts of an integration, in shards        U#<tenant>#<integration id>#<shard>   <account id>
//
//	index "ids", likewise                        PK                      SK
//	one account by id; all of a tenant           U#<tenant>#<shard>      <account id>
//
//	index "due", likewise                        PK                      SK
//	checks by the time they are due, in shards   C#DUE#<shard>           <13 digits: unix ms>#<account id>
//	those that wait for their slots, likewise    C#SLOT#<shard>          <13 digits: unix ms>#<account id>
//
// Names of the tenant's making are escaped, so that none of them can forge a
// separator: two different tuples never share a key.
const (
	listIndex = "list"
	idIndex   = "ids"
	dueIndex  = "due"
)

// Shards bound how much of one index or job partition one integration heats:
// a partition takes 1,000 writes a second.
const (
	accountShards = 8
	jobShards     = 4
	dueShards     = 16
)

func tenantKey(tenant string) table.Key   { return table.Key{PK: "T#" + tenant, SK: "TENANT"} }
func settingsKey(tenant string) table.Key { return table.Key{PK: "F#" + tenant, SK: "SETTINGS"} }

func sealBlobKey(tenant string, version uint32) table.Key {
	return table.Key{PK: "P#" + tenant, SK: "KEYPAIR#" + strconv.FormatUint(uint64(version), 10)}
}

func sessionBlobKey(tenant string) table.Key { return table.Key{PK: "P#" + tenant, SK: "SESSION"} }

func apiKeyKey(tenant, id string) table.Key {
	return table.Key{PK: "K#" + tenant + "#" + id, SK: "APIKEY"}
}

func integrationsPK(tenant string) string { return "I#" + tenant }

const (
	integrationPrefix = "INTEGRATION#"
	accountPrefix     = "ACCOUNT#"
)

func integrationKey(tenant, slug string) table.Key {
	return table.Key{PK: integrationsPK(tenant), SK: integrationPrefix + escape(slug)}
}

func userPK(tenant, user string) string { return "U#" + tenant + "#" + escape(user) }

func accountKey(tenant, slug string, o account.Owner) table.Key {
	return table.Key{
		PK: userPK(tenant, o.User),
		SK: accountPrefix + escape(slug) + "#" + escape(o.Organization),
	}
}

// parseAccountKey is the reverse of accountKey.
func parseAccountKey(k table.Key) (tenant, slug string, o account.Owner, err error) {
	pk := strings.Split(k.PK, "#")
	sk := strings.Split(k.SK, "#")
	if len(pk) != 3 || pk[0] != "U" || len(sk) != 3 || sk[0]+"#" != accountPrefix {
		return "", "", o, fmt.Errorf("store: not the key of an account: %q", k)
	}
	user, errUser := url.PathUnescape(pk[2])
	slug, errSlug := url.PathUnescape(sk[1])
	organization, errOrg := url.PathUnescape(sk[2])
	if errUser != nil || errSlug != nil || errOrg != nil {
		return "", "", o, fmt.Errorf("store: not the key of an account: %q", k)
	}
	return pk[1], slug, account.User(user, organization), nil
}

const checkPrefix = "CHECK#"

func checkKey(tenant, slug string, o account.Owner) table.Key {
	return table.Key{
		PK: "C#" + tenant + "#" + escape(o.User),
		SK: checkPrefix + escape(slug) + "#" + escape(o.Organization),
	}
}

// accountOf is the key of the account that a check is of.
func accountOf(check table.Key) table.Key {
	return table.Key{
		PK: userLetter + strings.TrimPrefix(check.PK, checkLetter),
		SK: accountPrefix + strings.TrimPrefix(check.SK, checkPrefix),
	}
}

func duePK(shard int, slotted bool) string {
	line := "DUE"
	if slotted {
		line = "SLOT"
	}
	return "C#" + line + "#" + strconv.Itoa(shard)
}

// lastDue is the last time that dueSK can tell: beyond it, in the year 2286, times
// have more digits.
const lastDue = 9_999_999_999_999

// dueSK orders checks by time.
func dueSK(at time.Time, accountID string) string {
	return fmt.Sprintf("%013d#%s", min(max(at.UnixMilli(), 0), lastDue), accountID)
}

// checkIndex places a check that is due some time in the index.
func checkIndex(c *health.Check) map[string]table.Key {
	if c.DueAt.IsZero() {
		return nil
	}
	return map[string]table.Key{
		dueIndex: {PK: duePK(shardOf(c.AccountID, dueShards), c.Slotted), SK: dueSK(c.DueAt, c.AccountID)},
	}
}

func providerPK(provider string) string { return "S#PROVIDER#" + escape(provider) }

func verifiedPK(tenant string) string { return "V#" + tenant }

func departureKey(tenant, user string) table.Key {
	return table.Key{PK: "D#" + tenant + "#" + escape(user), SK: "USER"}
}

func organizationKey(tenant, org string) table.Key {
	return table.Key{PK: "O#" + tenant + "#" + escape(org), SK: "ORG"}
}

func overrideKey(tenant, org, slug string) table.Key {
	return table.Key{PK: "O#" + tenant + "#" + escape(org), SK: integrationPrefix + escape(slug)}
}

// The letters of the partitions that events are made of.
const (
	userLetter   = "U#"
	remarkLetter = "R#"
	checkLetter  = "C#"
)

func eventsPK(tenant string, day time.Time) string {
	return "E#" + tenant + "#" + day.UTC().Format(time.DateOnly)
}

func eventKey(tenant, id string, at time.Time) table.Key {
	return table.Key{PK: eventsPK(tenant, at), SK: id}
}

func remarkKey(tenant string, e event.Event) table.Key {
	return table.Key{PK: remarkLetter + tenant + "#" + escape(e.Data.User()), SK: e.ID}
}

const hourPrefix = "HOUR#"

func usagePK(tenant, id string) string { return "L#" + tenant + "#" + escape(id) }

func usedKey(tenant, accountID string) table.Key {
	return table.Key{PK: usagePK(tenant, accountID), SK: "USED"}
}

func readsKey(tenant, accountID string) table.Key {
	return table.Key{PK: usagePK(tenant, accountID), SK: "READS"}
}

// hourRange is before the shards of an hour, and behind those of earlier ones.
func hourRange(start time.Time) string { return hourPrefix + start.UTC().Format("2006-01-02T15") }

func hourKey(tenant, integrationID string, start time.Time, shard int) table.Key {
	return table.Key{PK: usagePK(tenant, integrationID), SK: hourRange(start) + "#" + strconv.Itoa(shard)}
}

// hourOf is the reverse of hourKey's sort key; the zero time for what is none.
func hourOf(sk string) (start time.Time) {
	hour, _, _ := strings.Cut(strings.TrimPrefix(sk, hourPrefix), "#")
	start, _ = time.Parse("2006-01-02T15", hour)
	return start
}

func auditPositionKey() table.Key { return table.Key{PK: "L#AUDIT", SK: "POSITION"} }

func jobPK(shard int) string { return "J#" + strconv.Itoa(shard) }

func jobKey(id string) table.Key { return table.Key{PK: jobPK(shardOf(id, jobShards)), SK: id} }

func tenantListing(id string) table.Key { return table.Key{PK: "T#TENANTS", SK: id} }

func apiKeyListingPK(tenant string) string { return "K#" + tenant }

func accountListingPK(tenant, integration string, shard int) string {
	return fmt.Sprintf("U#%s#%s#%d", tenant, integration, shard)
}

func accountIDPK(tenant string, shard int) string { return fmt.Sprintf("U#%s#%d", tenant, shard) }

// accountIndex places an account in the indexes.
func accountIndex(a *account.Account) map[string]table.Key {
	return map[string]table.Key{
		listIndex: {PK: accountListingPK(a.Tenant, a.IntegrationID, shardOf(a.ID, accountShards)), SK: a.ID},
		idIndex:   {PK: accountIDPK(a.Tenant, shardOf(a.ID, accountShards)), SK: a.ID},
	}
}

func shardOf(id string, shards uint32) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails (hash.Hash)
	return int(h.Sum32() % shards)
}

// escape writes the separator, the escape character itself and everything that
// a key may not hold as %XX.
func escape(name string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || c == '#' || c == '%' {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
