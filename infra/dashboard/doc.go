// Package dashboard tests the pages that keyvend serves to those who run it: with a
// real Chromium, against everything that infra/local runs. It has tests and nothing
// else.
package dashboard
