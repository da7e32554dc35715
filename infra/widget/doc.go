// Package widget tests what keyvend serves to browsers for a product's users: the
// element <keyvend-pipes> and the page that holds it in an iframe. It has tests
// and nothing else.
package widget
