// Package e2e holds keyvend to its promises from outside: through its front
// door over HTTP, on the handlers in one process, on the functions' real
// binaries under the Lambda host, and on a running infra/local. It has tests
// only.
package e2e
