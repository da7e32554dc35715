package vault

import (
	"context"

	"keyvend/pkg/seal"
	"keyvend/pkg/tenant"
)

// IngestKeys is the Keyring of functions that can put secrets in and read none
// back: KMS unwraps for them with the purpose "ingest" only.
type IngestKeys struct{ Ring *seal.Ring }

// Recall implements Keyring.
func (k IngestKeys) Recall(tenant string) (*seal.IngestKey, bool) { return k.Ring.Recall(tenant) }

// Unlock implements Keyring.
func (k IngestKeys) Unlock(ctx context.Context, t *tenant.Tenant) (Unlocked, error) {
	key, err := k.Ring.Ingest(ctx, t.Keys)
	return Unlocked{Ingest: key}, err
}

// OpeningKeys is the OpeningKeyring of functions that read secrets back.
type OpeningKeys struct {
	Ring  *seal.Ring
	Blobs SealBlobs
}

// Recall implements Keyring.
func (k OpeningKeys) Recall(tenant string) (*seal.IngestKey, bool) { return k.Ring.Recall(tenant) }

// Unlock implements Keyring with the key of the tenant's current version.
func (k OpeningKeys) Unlock(ctx context.Context, t *tenant.Tenant) (Unlocked, error) {
	key, err := k.Opening(ctx, t, t.Keys.Version)
	if err != nil {
		return Unlocked{}, err
	}
	return Unlocked{Ingest: key.Ingest(), Opening: key}, nil
}

// Opening implements OpeningKeyring.
func (k OpeningKeys) Opening(ctx context.Context, t *tenant.Tenant, version uint32) (*seal.OpeningKey, error) {
	return k.Ring.Opening(ctx, t.Keys, version, func(ctx context.Context) ([]byte, error) {
		return k.Blobs.SealBlob(ctx, t.ID, version)
	})
}

// SigningKeys is the SigningKeyring of functions that mint tokens for browsers.
type SigningKeys struct {
	Ring  *seal.Ring
	Blobs SessionBlobs
}

// Signing implements SigningKeyring.
func (k SigningKeys) Signing(ctx context.Context, t *tenant.Tenant) (*seal.SigningKey, error) {
	return k.Ring.Signing(ctx, t.Keys, func(ctx context.Context) ([]byte, error) { return k.Blobs.SessionBlob(ctx, t.ID) })
}
