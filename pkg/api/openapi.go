package api

import (
	_ "embed"
	"net/http"
)

// description is the OpenAPI description of every route. It is edited by hand;
// tests hold it against the routes, what they read and what they answer.
//
//go:embed openapi.json
var description []byte

// describe answers with the description, byte for byte as it lies here.
func describe(_ *Server, w http.ResponseWriter, _ *request) { write(w, http.StatusOK, description) }
